-- Run by psql when compose.yaml makes the database: one role owns the tables, another serves.
\set ON_ERROR_STOP on
\set owner `cat /run/secrets/db-owner-password`
\set server `cat /run/secrets/db-password`
CREATE ROLE minikms_owner LOGIN PASSWORD :'owner';
CREATE ROLE minikms LOGIN PASSWORD :'server';
CREATE DATABASE minikms OWNER minikms_owner ENCODING 'UTF8' TEMPLATE template0;
