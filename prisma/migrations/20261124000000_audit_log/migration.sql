-- The audit log: spec/audit-chain.md. A log's lock is its row in audit_heads; transactions that change other rows take it last.

-- Texts are hashed as UTF-8 and must all have a place in the database.
DO $$ BEGIN
  IF current_setting('server_encoding') <> 'UTF8' THEN RAISE EXCEPTION 'the database must have the encoding UTF8'; END IF;
END $$;

CREATE TABLE audit_heads (
  tenant_id text    COLLATE "C" PRIMARY KEY,
  -- Below 2^53: who reads it keeps it in a double.
  seq       bigint  NOT NULL CHECK (seq >= 0 AND seq < 9007199254740992),
  hash      bytea   NOT NULL CHECK (octet_length(hash) = 32),
  epoch     integer NOT NULL DEFAULT 1 CHECK (epoch >= 1)
) WITH (fillfactor = 50);

CREATE TABLE kms_audit_log (
  tenant_id        text   COLLATE "C" NOT NULL,
  seq              bigint NOT NULL CHECK (seq >= 1 AND seq < 9007199254740992),
  timestamp_us     bigint NOT NULL,
  action           text   COLLATE "C" NOT NULL,
  actor_id         text   COLLATE "C" NOT NULL,
  details          text   NOT NULL,
  request_jwt_hash bytea  NOT NULL CHECK (octet_length(request_jwt_hash) IN (0, 32)),
  previous_hash    bytea  NOT NULL CHECK (octet_length(previous_hash) = 32),
  entry_hash       bytea  NOT NULL CHECK (octet_length(entry_hash) = 32),
  PRIMARY KEY (tenant_id, seq)
);

CREATE FUNCTION minikms_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'kms_audit_log is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON kms_audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION minikms_append_only();
-- Also for sessions that set session_replication_role.
ALTER TABLE kms_audit_log ENABLE ALWAYS TRIGGER append_only;

-- The newest checkpoint of each epoch of a log, with the cosignatures that it got.
CREATE TABLE audit_checkpoints (
  tenant_id  text        COLLATE "C" NOT NULL,
  epoch      integer     NOT NULL CHECK (epoch >= 1),
  size       bigint      NOT NULL CHECK (size >= 0),
  root       bytea       NOT NULL CHECK (octet_length(root) = 32),
  note       text        NOT NULL,
  -- The size of the newest that an entry of the installation's log reports.
  reported   bigint      NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, epoch)
);

-- Whole nodes of the trees at every eighth level; the levels between are computed.
CREATE TABLE audit_tree (
  tenant_id text     COLLATE "C" NOT NULL,
  level     smallint NOT NULL CHECK (level > 0 AND level % 8 = 0),
  index     bigint   NOT NULL CHECK (index >= 0),
  hash      bytea    NOT NULL CHECK (octet_length(hash) = 32),
  PRIMARY KEY (tenant_id, level, index)
);

-- When a server last claimed to write the next checkpoints, and when the next may.
CREATE TABLE audit_schedule (
  id         smallint    PRIMARY KEY DEFAULT 1 CHECK (id = 1),
  claimed_at timestamptz NOT NULL DEFAULT '-infinity',
  due_at     timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO audit_schedule DEFAULT VALUES;

-- What the opaque ids in entries stand for: the only place, and one that can be deleted from.
CREATE TABLE audit_subjects (
  id         text        COLLATE "C" PRIMARY KEY,
  tenant_id  text        COLLATE "C" NOT NULL,
  kind       text        NOT NULL,
  salt       bytea       NOT NULL CHECK (octet_length(salt) = 32),
  label      text        COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
-- A label has any length: a B-tree would refuse long ones.
CREATE INDEX audit_subjects_label ON audit_subjects USING hash (label);

-- Random keys of the server itself, wrapped under keys derived from the root key.
CREATE TABLE server_keys (
  purpose     text        COLLATE "C" PRIMARY KEY,
  -- What the key is called where its public half is used, such as the name of the audit log.
  name        text        NOT NULL,
  public_key  bytea       NOT NULL,
  wrapped_key bytea       NOT NULL,
  root_key_id bytea       NOT NULL CHECK (octet_length(root_key_id) = 16),
  salt_id     bytea       NOT NULL CHECK (octet_length(salt_id) = 16),
  created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION minikms_lp(field bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN int8send(octet_length(field)::bigint) || field;

-- spec/audit-chain.md, section 2.
CREATE FUNCTION minikms_entry_hash(
  previous_hash bytea, timestamp_us bigint, action text, actor_id text, details text, tenant_id text, seq bigint,
  request_jwt_hash bytea
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN sha256(
    convert_to('minikms/audit/v2', 'UTF8') || minikms_lp(previous_hash) || minikms_lp(int8send(timestamp_us))
    || minikms_lp(convert_to(action, 'UTF8')) || minikms_lp(convert_to(actor_id, 'UTF8'))
    || minikms_lp(convert_to(details, 'UTF8')) || minikms_lp(convert_to(tenant_id, 'UTF8'))
    || minikms_lp(int8send(seq)) || minikms_lp(request_jwt_hash));

-- Appends entries to one log wherever it ends, and returns the seq of the first, and the new head. The last thing that a
-- transaction does: it holds the log's lock from here to its end.
CREATE FUNCTION minikms_audit_append(
  tenant text, timestamps_us bigint[], actions text[], actor_ids text[], details text[], request_jwt_hashes bytea[],
  OUT first bigint, OUT last bigint, OUT hash bytea, OUT epoch integer
) LANGUAGE plpgsql AS $$
DECLARE
  previous bytea;
BEGIN
  LOOP
    SELECT h.seq, h.hash, h.epoch INTO last, hash, epoch FROM audit_heads h WHERE h.tenant_id = tenant FOR UPDATE;
    EXIT WHEN FOUND;
    INSERT INTO audit_heads (tenant_id, seq, hash) VALUES (tenant, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;
  END LOOP;
  first := last + 1;
  FOR i IN 1 .. cardinality(timestamps_us) LOOP
    previous := hash;
    last := last + 1;
    hash := minikms_entry_hash(previous, timestamps_us[i], actions[i], actor_ids[i], details[i], tenant, last, request_jwt_hashes[i]);
    INSERT INTO kms_audit_log
      VALUES (tenant, last, timestamps_us[i], actions[i], actor_ids[i], details[i], request_jwt_hashes[i], previous, hash);
  END LOOP;
  UPDATE audit_heads h SET seq = last, hash = minikms_audit_append.hash WHERE h.tenant_id = tenant;
END $$;
