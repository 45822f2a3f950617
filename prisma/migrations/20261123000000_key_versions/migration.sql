-- Every wrapped row names the root key, the salt and the tenant key generation that it is wrapped under.
-- Ids collate as bytes ("C"): an index in the locale's order is corrupted by an upgrade of the system's locales.

CREATE TABLE installation (
  id         smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  mode       text        NOT NULL CHECK (mode IN ('development', 'production')),
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Check values of the root key and of the HKDF salt: HKDF outputs, recorded once at the first start.
CREATE TABLE root_keys (
  root_key_id bytea       NOT NULL CHECK (octet_length(root_key_id) = 16),
  salt_id     bytea       NOT NULL CHECK (octet_length(salt_id) = 16),
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (root_key_id, salt_id)
);
CREATE UNIQUE INDEX root_keys_one ON root_keys ((true));

CREATE TABLE key_versions (
  tenant_id             text        COLLATE "C" NOT NULL,
  scope_id              text        COLLATE "C" NOT NULL,
  version               integer     NOT NULL CHECK (version >= 1),
  id                    uuid        NOT NULL,
  wrapped_dek           bytea       NOT NULL CHECK (octet_length(wrapped_dek) = 60),
  root_key_id           bytea       NOT NULL CHECK (octet_length(root_key_id) = 16),
  salt_id               bytea       NOT NULL CHECK (octet_length(salt_id) = 16),
  tenant_key_generation integer     NOT NULL DEFAULT 0 CHECK (tenant_key_generation >= 0),
  status                text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'rotate_pending', 'retired')),
  max_encryptions       bigint      NOT NULL CHECK (max_encryptions BETWEEN 1 AND 4294967296),
  leased_uses           bigint      NOT NULL DEFAULT 0 CHECK (leased_uses BETWEEN 0 AND max_encryptions),
  recorded_uses         bigint      NOT NULL DEFAULT 0 CHECK (recorded_uses >= 0),
  created_at            timestamptz NOT NULL DEFAULT now(),
  updated_at            timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, scope_id, version),
  UNIQUE (tenant_id, scope_id, id)
) WITH (fillfactor = 80);
-- The current version of a scope: one at most.
CREATE UNIQUE INDEX key_versions_current ON key_versions (tenant_id, scope_id) WHERE status IN ('active', 'rotate_pending');

-- Changes that caches must hear of, numbered by a counter row inside the changing transaction: a sequence would hand
-- out numbers that commit out of order.
CREATE TABLE change_counter (
  id     smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  number bigint   NOT NULL DEFAULT 0
);
INSERT INTO change_counter DEFAULT VALUES;

CREATE TABLE change_log (
  number     bigint      PRIMARY KEY,
  tenant_id  text        COLLATE "C" NOT NULL,
  scope_id   text        COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
