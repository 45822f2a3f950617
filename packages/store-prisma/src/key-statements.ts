import { logging } from './changes.ts';
import { columns } from './key-row.ts';
import type { Statement } from './statement.ts';

// The same words as the index key_versions_current has, and never a parameter, or the planner could not use it.
const CURRENT = `status IN ('active', 'rotate_pending')`;

/** 90 % of the budget, exactly and in integers: leased >= ceil(0.9 * max). */
function statusAt(leased: string, max: string): string {
  return `CASE WHEN ${leased} * 10 >= ${max} * 9 THEN 'rotate_pending' ELSE 'active' END`;
}

/** $1 tenant, $2 scope. */
export const CURRENT_VERSION: Statement = {
  name: 'minikms_current',
  text: `SELECT ${columns('k')} FROM key_versions k WHERE k.tenant_id = $1 AND k.scope_id = $2 AND k.${CURRENT}`,
};

/**
 * $1 tenant, $2 scope, $3 wanted. No row: the scope had no current version when the statement began. A row of nulls: it
 * had one, which a successor replaced while the statement waited for it.
 *
 * The status is computed of a row that is current, and leased_uses never falls: rotate_pending stays.
 */
export const LEASE: Statement = {
  name: 'minikms_lease',
  text: `
    WITH held AS (
      SELECT tenant_id, scope_id, version,
             leased_uses + least($3::bigint, max_encryptions - leased_uses) AS leased,
             least($3::bigint, max_encryptions - leased_uses) AS granted
      FROM key_versions WHERE tenant_id = $1 AND scope_id = $2 AND ${CURRENT}
      FOR UPDATE
    ), leased AS (
      UPDATE key_versions k
      SET leased_uses = held.leased, updated_at = now(),
          status = CASE k.status WHEN 'active' THEN ${statusAt('held.leased', 'k.max_encryptions')} ELSE k.status END
      FROM held
      WHERE k.tenant_id = held.tenant_id AND k.scope_id = held.scope_id AND k.version = held.version
      RETURNING ${columns('k')}, held.granted
    )
    SELECT leased.*
    FROM (SELECT FROM key_versions WHERE tenant_id = $1 AND scope_id = $2 AND ${CURRENT}) seen
    LEFT JOIN leased ON true`,
};

const INSERTED =
  'tenant_id, scope_id, id, version, wrapped_dek, root_key_id, salt_id, tenant_key_generation, max_encryptions';
const GIVEN = '$1, $2, $3::uuid, $4::integer, $5::bytea, $6::bytea, $7::bytea, $8::integer, $9::bigint';

/**
 * Appends the entry of $11 tenant, $12 timestamp, $13 action, $14 actor, $15 details, $16 JWT hash; its seq, and
 * the log's head, as the text of a row. Selected from
 * a part of a WITH that has one row when the change happened, it runs once, then, and last: it takes the log's lock.
 */
const APPENDED = `(minikms_audit_append(
      $11::text, ARRAY[$12::bigint], ARRAY[$13::text], ARRAY[$14::text], ARRAY[$15::text], ARRAY[$16::bytea]))::text`;

const INSERT_FIRST = `
    INSERT INTO key_versions AS k (${INSERTED}, leased_uses, status)
    SELECT ${GIVEN}, least($10::bigint, $9::bigint), ${statusAt('least($10::bigint, $9::bigint)', '$9::bigint')}
    WHERE NOT EXISTS (SELECT FROM key_versions WHERE tenant_id = $1 AND scope_id = $2)
    ON CONFLICT DO NOTHING
    RETURNING ${columns('k')}, k.leased_uses AS granted`;

/** $1–$9 as {@link SUCCEED}, $10 wanted. No row when the scope has a version of whatever status. */
export const FIRST: Statement = { name: 'minikms_first', text: INSERT_FIRST };

/** {@link FIRST} with an entry, $11–$16. */
export const FIRST_WITH_ENTRY: Statement = {
  name: 'minikms_first_entry',
  text: `
    WITH made AS (${INSERT_FIRST})
    SELECT made.*, ${APPENDED} AS appended FROM made`,
};

function succeed(selected: string): string {
  return `
    WITH retired AS (
      UPDATE key_versions SET status = 'retired', updated_at = now()
      WHERE tenant_id = $1 AND scope_id = $2 AND id = $10::uuid AND version = $4::integer - 1 AND ${CURRENT}
      RETURNING version
    ), succeeded AS (
      INSERT INTO key_versions (${INSERTED}) SELECT ${GIVEN} FROM retired RETURNING version
    ), ${logging('succeeded')}
    SELECT ${selected}
    FROM key_versions WHERE tenant_id = $1 AND scope_id = $2 AND id = $10::uuid AND ${CURRENT}`;
}

/**
 * $1 tenant, $2 scope, $3 id, $4 version, $5 wrapped DEK, $6 root key id, $7 salt id, $8 generation, $9 budget, $10 id
 * of the current version. No row: that was not current when the statement began. Else its version, and whether it was
 * replaced: not if a successor came while the statement waited for it, nor if $4 does not follow.
 *
 * Each part reads the one before, hence runs after it: the index key_versions_current admits the successor because its
 * predecessor is retired by then.
 */
export const SUCCEED: Statement = {
  name: 'minikms_succeed',
  text: succeed('version, EXISTS (SELECT FROM logged) AS replaced'),
};

/** {@link SUCCEED} with an entry, $11–$16. */
export const SUCCEED_WITH_ENTRY: Statement = {
  name: 'minikms_succeed_entry',
  text: succeed(`version, EXISTS (SELECT FROM logged) AS replaced, (SELECT ${APPENDED} FROM logged) AS appended`),
};

/** $1 tenant, $2 timestamp, $3 action, $4 actor, $5 details, $6 JWT hash: the newest such entry among a log's last 10,000. */
export const FIND_ENTRY: Statement = {
  name: 'minikms_find_entry',
  text: `
    SELECT l.seq FROM audit_heads h
    JOIN kms_audit_log l ON l.tenant_id = h.tenant_id AND l.seq > h.seq - 10000
    WHERE h.tenant_id = $1 AND l.timestamp_us = $2::bigint AND l.action = $3 AND l.actor_id = $4 AND l.details = $5
      AND l.request_jwt_hash = $6::bytea
    ORDER BY l.seq DESC LIMIT 1`,
};

/** $1 tenant, $2 scope, $3 id. No row: the scope has no version. A row of nulls: it has others. */
export const FIND_VERSION: Statement = {
  name: 'minikms_version',
  text: `
    SELECT ${columns('k')}
    FROM (SELECT FROM key_versions WHERE tenant_id = $1 AND scope_id = $2 LIMIT 1) seen
    LEFT JOIN key_versions k ON k.tenant_id = $1 AND k.scope_id = $2 AND k.id = $3::uuid`,
};

/** $1 tenants, $2 scopes, $3 ids, $4 uses: arrays. Every server locks the rows in the same order: no deadlock. */
export const RECORD_USES: Statement = {
  name: 'minikms_uses',
  text: `
    WITH used AS (
      SELECT tenant_id, scope_id, id, sum(uses)::bigint AS uses
      FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[]) AS u (tenant_id, scope_id, id, uses)
      GROUP BY tenant_id, scope_id, id
    ), held AS (
      SELECT k.tenant_id, k.scope_id, k.version, used.uses
      FROM key_versions k
      JOIN used ON k.tenant_id = used.tenant_id AND k.scope_id = used.scope_id AND k.id = used.id
      ORDER BY k.tenant_id, k.scope_id, k.version
      FOR UPDATE OF k
    )
    UPDATE key_versions k SET recorded_uses = k.recorded_uses + held.uses, updated_at = now()
    FROM held
    WHERE k.tenant_id = held.tenant_id AND k.scope_id = held.scope_id AND k.version = held.version`,
};
