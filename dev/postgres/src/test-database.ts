import { randomBytes } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from './start.ts';
import type { Postgres } from './start.ts';

/** An empty database that belongs to one test. */
export type TestDatabase = { readonly url: string; drop(): Promise<void> };

/** The server that tests use, by precedence: the one the user names, then the one that vitest's global setup started. */
export function testServer(): string | undefined {
  return process.env['MINIKMS_TEST_DB_URL'] ?? process.env['MINIKMS_TEST_PG_URL'];
}

/** A throw-away server in a temporary folder, which goes when the server goes. */
export async function startTestServer(): Promise<Postgres> {
  const directory = await mkdtemp(join(tmpdir(), 'minikms-test-'));
  return startPostgres({ directory, durable: false, disposable: true });
}

let own: Promise<Postgres> | undefined;

/**
 * A fresh, empty database with a random name on the test server. Without one, as when a package's tests run with no
 * global setup, this process starts one, which ends with it.
 */
export async function testDatabase(): Promise<TestDatabase> {
  const server = testServer() ?? (await (own ??= startTestServer())).url;
  const name = `minikms_test_${randomBytes(8).toString('hex')}`;
  // template0 and a fixed locale: the same database on every server.
  await onServer(server, `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  // FORCE: a test may end with connections open, and one of killed processes certainly does.
  return { url: url.href, drop: () => onServer(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
