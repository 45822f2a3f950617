import type { Scope } from '@minikms/key-hierarchy';
import type { Pool } from 'pg';
import { run, type Statement } from './statement.ts';

const MOST_ROWS = 10_000;

/** A change of a scope that caches must hear of. */
export interface Change extends Scope {
  /** Counts commits: 1 for the first change of the installation, one more for each later one, without holes. */
  readonly number: number;
}

export interface ChangeLog {
  /**
   * The number of the last change that committed, and every change after `number` up to it in order, as of one moment
   * and in one round trip. `'gap'` instead of the changes when they are not all there: pruned, more than 10,000, or the
   * database is behind `number` (restored from a backup). Throws `STORE_UNAVAILABLE`.
   */
  since(number: number): Promise<{ readonly number: number; readonly changes: readonly Change[] | 'gap' }>;
  /**
   * Deletes the changes older than `olderThanMs` milliseconds by the database's clock, oldest first and none after one
   * that stays. Returns how many it deleted. Throws `STORE_UNAVAILABLE`.
   */
  prune(olderThanMs: number): Promise<number>;
}

/** $1 number. One row at least, which holds the counter. */
const SINCE: Statement = {
  name: 'minikms_changes',
  text: `
    SELECT c.number AS counter, l.number, l.tenant_id AS "tenantId", l.scope_id AS "scopeId"
    FROM change_counter c
    LEFT JOIN change_log l ON l.number > $1::bigint AND c.number - $1::bigint <= ${MOST_ROWS}
    ORDER BY l.number`,
};

/** $1 milliseconds, $2 rows at most. */
const PRUNE: Statement = {
  name: 'minikms_prune',
  text: `
    WITH deleted AS (
      DELETE FROM change_log WHERE number IN (
        SELECT number FROM change_log
        WHERE number < coalesce(
          (SELECT number FROM change_log
           WHERE created_at >= now() - $1::double precision * interval '1 millisecond' ORDER BY number LIMIT 1),
          9223372036854775807)
        ORDER BY number LIMIT $2)
      RETURNING number)
    SELECT count(*) AS count FROM deleted`,
};

type LogRow = { readonly counter: string } & (Scope & { readonly number: string | null });

/** The `change_log` table: the poll goes over `own`, whatever keeps `pool` busy. */
export function changeLog(pool: Pool, own: Pool): ChangeLog {
  return { since: (number) => since(own, number), prune: (olderThanMs) => prune(pool, olderThanMs) };
}

/**
 * The part `logged` of a WITH, which writes one change of the scope ($1 tenant, $2 scope) when the part `cause` has its
 * one row. Its last part: every change of the installation waits for the counter's row from here to the end of the
 * transaction, so numbers commit in their order; a sequence's would not.
 *
 * Without the counter's row the number is null, which the log refuses: the statement fails as a whole.
 */
export function logging(cause: string): string {
  return `
    counted AS (
      UPDATE change_counter SET number = number + 1 FROM ${cause} RETURNING number
    ), logged AS (
      INSERT INTO change_log (number, tenant_id, scope_id)
      SELECT (SELECT number FROM counted), $1, $2 FROM ${cause}
      RETURNING number
    )`;
}

async function since(pool: Pool, number: number): Promise<{ number: number; changes: readonly Change[] | 'gap' }> {
  const rows = await run<LogRow>(pool, SINCE, [number]);
  const first = rows[0];
  if (first === undefined) throw new Error('the table change_counter has lost its row');
  const counter = Number(first.counter);
  const changes: Change[] = [];
  for (const { number: numbered, tenantId, scopeId } of rows) {
    if (numbered !== null) changes.push({ number: Number(numbered), tenantId, scopeId });
  }
  const whole = changes.length === counter - number && changes.every((change, at) => change.number === number + 1 + at);
  return { number: counter, changes: whole ? changes : 'gap' };
}

async function prune(pool: Pool, olderThanMs: number): Promise<number> {
  for (let deleted = 0; ;) {
    const [row] = await run<{ count: string }>(pool, PRUNE, [olderThanMs, MOST_ROWS]);
    const count = Number(row?.count);
    deleted += count;
    if (count < MOST_ROWS) return deleted;
  }
}
