import type { Statement } from './statement.ts';

// $1–$6: the batches. $7–$15: their entries, each with the number of its batch, from 1. $16–$20: the subjects.
const GIVEN = `
    given AS (
      SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::integer[], $5::bigint[], $6::bytea[])
        WITH ORDINALITY AS g (tenant_id, seq, hash, epoch, last_seq, last_hash, at)
    )`;

const ENTERED = `
    entered AS (
      INSERT INTO kms_audit_log
        (tenant_id, seq, timestamp_us, action, actor_id, details, request_jwt_hash, previous_hash, entry_hash)
      SELECT a.tenant_id, e.seq, e.timestamp_us, e.action, e.actor_id, e.details, e.jwt, e.previous, e.hash
      FROM unnest($7::integer[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::bytea[],
                  $14::bytea[], $15::bytea[])
        AS e (at, seq, timestamp_us, action, actor_id, details, jwt, previous, hash)
      JOIN advanced a ON a.at = e.at
    )`;

/** Subjects come after heads everywhere, and in their order, so that writers wait for each other in one direction. */
function named(first: number, after: string): string {
  const [id, tenant, kind, salt, label] = Array.from({ length: 5 }, (_, index) => `$${first + index}`);
  return `
    named AS (
      INSERT INTO audit_subjects (id, tenant_id, kind, salt, label)
      SELECT *
      FROM unnest(${id}::text[], ${tenant}::text[], ${kind}::text[], ${salt}::bytea[], ${label}::text[])
        AS s (id, tenant_id, kind, salt, label)
      WHERE (SELECT count(*) FROM ${after}) >= 0
      ORDER BY s.id COLLATE "C"
      ON CONFLICT DO NOTHING
    )`;
}

/** A row for each batch that was left out: its number, and its log's head as the statement saw it when it began. */
const LEFT_OUT = `
    SELECT g.at::integer AS at, h.seq, h.hash, h.epoch
    FROM given g LEFT JOIN audit_heads h ON h.tenant_id = g.tenant_id
    WHERE g.at NOT IN (SELECT at FROM advanced)`;

/**
 * Batches that follow an entry. Waits for nobody: a head that somebody holds is skipped. One that changed since the
 * statement began is looked at again, as it is now, before it is locked.
 */
export const APPEND: Statement = {
  name: 'minikms_append',
  text: `
    WITH ${GIVEN}, held AS (
      SELECT h.tenant_id, g.last_seq, g.last_hash, g.at
      FROM given g JOIN audit_heads h ON h.tenant_id = g.tenant_id
      WHERE h.seq = g.seq AND h.hash = g.hash AND h.epoch = g.epoch
      ORDER BY h.tenant_id
      FOR UPDATE OF h SKIP LOCKED
    ), advanced AS (
      UPDATE audit_heads h SET seq = held.last_seq, hash = held.last_hash
      FROM held WHERE h.tenant_id = held.tenant_id
      RETURNING held.at, h.tenant_id
    ), ${ENTERED}, ${named(16, 'advanced')} ${LEFT_OUT}`,
};

/**
 * Batches that begin a log. Waits for who is beginning one of these logs at this moment, always in the order of the
 * tenants and holding nothing but new heads: no deadlock. Not for long, since a flush waits with it: then it ends in
 * `lock_not_available`. A log without a head in the answer was begun meanwhile.
 */
export const BEGIN_LOGS: Statement = {
  name: 'minikms_begin_logs',
  text: `
    WITH ${GIVEN}, begun AS (
      INSERT INTO audit_heads (tenant_id, seq, hash, epoch)
      SELECT tenant_id, last_seq, last_hash, epoch FROM given
      -- Evaluated once, before the first row; until the end of the statement's transaction.
      WHERE (SELECT set_config('lock_timeout', '100ms', true)) IS NOT NULL
      ORDER BY tenant_id COLLATE "C"
      ON CONFLICT DO NOTHING
      RETURNING tenant_id
    ), advanced AS (
      SELECT g.at, g.tenant_id FROM given g JOIN begun b ON b.tenant_id = g.tenant_id
    ), ${ENTERED}, ${named(16, 'begun')} ${LEFT_OUT}`,
};

/** $1 tenant, $2–$6 the entries, $7–$11 the subjects. */
export const APPEND_IN_TURN: Statement = {
  name: 'minikms_append_in_turn',
  text: `
    WITH appended AS MATERIALIZED (
      SELECT * FROM minikms_audit_append($1, $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[])
    ), ${named(7, 'appended')}
    SELECT first, last AS seq, hash, epoch FROM appended`,
};

/** $1 tenant, $2–$6 the entry, $7 epoch. No row: the log has that epoch already. */
export const OPEN_EPOCH: Statement = {
  name: 'minikms_open_epoch',
  // The function is volatile: it sees what the part before it did.
  text: `
    WITH opened AS (
      INSERT INTO audit_heads (tenant_id, seq, hash, epoch) VALUES ($1, 0, decode(repeat('00', 32), 'hex'), $7::integer)
      ON CONFLICT (tenant_id) DO UPDATE SET epoch = EXCLUDED.epoch WHERE audit_heads.epoch < EXCLUDED.epoch
      RETURNING tenant_id
    )
    SELECT a.last AS seq, a.hash, a.epoch
    FROM opened CROSS JOIN LATERAL
      minikms_audit_append(opened.tenant_id, $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bytea[]) a`,
};

const ENTRY = `
    tenant_id AS "tenantId", seq, timestamp_us AS "timestampUs", action, actor_id AS "actorId", details,
    request_jwt_hash AS "requestJwtHash", previous_hash AS "previousHash", entry_hash AS "entryHash"`;

/** $1 tenant. */
export const HEAD: Statement = {
  name: 'minikms_audit_head',
  text: 'SELECT seq, hash, epoch FROM audit_heads WHERE tenant_id = $1',
};

/** $1 tenant, $2 seq, $3 rows at most. */
export const ENTRIES_AFTER: Statement = {
  name: 'minikms_entries_after',
  text: `SELECT ${ENTRY} FROM kms_audit_log WHERE tenant_id = $1 AND seq > $2::bigint ORDER BY seq LIMIT $3`,
};

/** $1 tenant, $2 before seq, $3 action, $4 actor, $5 from, $6 before; $7 rows at most, $8 rows to leave out. */
export const FIND_ENTRIES: Statement = {
  name: 'minikms_find_entries',
  text: `
    SELECT ${ENTRY} FROM kms_audit_log
    WHERE tenant_id = $1
      AND seq < $2::bigint
      AND ($3::text IS NULL OR action = $3::text)
      AND ($4::text IS NULL OR actor_id = $4::text)
      AND ($5::bigint IS NULL OR timestamp_us >= $5::bigint)
      AND ($6::bigint IS NULL OR timestamp_us < $6::bigint)
    ORDER BY seq DESC LIMIT $7 OFFSET $8`,
};

/** $1 tenant, $2 from, $3 to. One row: a value for each hash would cost more than the hashes. */
export const ENTRY_HASHES: Statement = {
  name: 'minikms_entry_hashes',
  text: `
    SELECT coalesce(string_agg(entry_hash, '' ORDER BY seq), '') AS hashes
    FROM kms_audit_log WHERE tenant_id = $1 AND seq BETWEEN $2::bigint AND $3::bigint`,
};
