import type { KeyStore, KeyVersionRow, Lease, Scope, VersionUses } from '@minikms/key-hierarchy';
import type { Pool } from 'pg';
import { unavailable } from './failure.ts';
import { type Changing, createFirst, succeed } from './key-changes.ts';
import { keyVersionRow, type StoredKeyVersion } from './key-row.ts';
import * as sql from './key-statements.ts';
import { run } from './statement.ts';
import { turns } from './turns.ts';

type Granted = StoredKeyVersion & { readonly granted: string };
/** What an outer join yields: a row, or nothing but nulls. */
type Nullable<Row> = Row | { readonly id: null };

const USES_PER_STATEMENT = 1_000;
const LEASE_TRIES = 8;

/**
 * The `key_versions` table as the key hierarchy's port. `successions` of them may be under way at once: each waits for
 * the one before it in the change log, and a crowd of them would keep every connection from those who need not wait.
 */
export function keyStore(pool: Pool, successions: number, onAppend?: Changing['onAppend']): KeyStore {
  const inTurn = turns(successions);
  const changing: Changing = { pool, onAppend };
  return {
    lease: (scope, wanted) => lease(pool, scope, wanted),
    createFirst: (first, wanted, entry) => createFirst(changing, first, wanted, entry),
    succeed: (currentId, successor, entry) => inTurn(() => succeed(changing, currentId, successor, entry)),
    findCurrent: (scope) => findCurrent(pool, scope),
    findVersion: (scope, id) => findVersion(pool, scope, id),
    recordUses: (uses) => recordUses(pool, uses),
  };
}

async function lease(pool: Pool, scope: Scope, wanted: number): Promise<Lease | undefined> {
  if (wanted === 0) {
    const row = await findCurrent(pool, scope);
    return row && { row, granted: 0 };
  }
  for (let tries = 0; tries < LEASE_TRIES; tries++) {
    const [found] = await run<Nullable<Granted>>(pool, sql.LEASE, [scope.tenantId, scope.scopeId, wanted]);
    if (found === undefined) return undefined;
    // A row of nulls: a successor came while the statement waited. The next statement sees it.
    if (found.id !== null) return { row: keyVersionRow(found), granted: Number(found.granted) };
  }
  throw unavailable(new Error(`the current version was replaced ${LEASE_TRIES} times while leasing`));
}

async function findCurrent(pool: Pool, scope: Scope): Promise<KeyVersionRow | undefined> {
  const [row] = await run<StoredKeyVersion>(pool, sql.CURRENT_VERSION, [scope.tenantId, scope.scopeId]);
  return row && keyVersionRow(row);
}

async function findVersion(pool: Pool, scope: Scope, id: string): Promise<KeyVersionRow | 'other' | 'none'> {
  const values = [scope.tenantId, scope.scopeId, id];
  const [row] = await run<Nullable<StoredKeyVersion>>(pool, sql.FIND_VERSION, values);
  if (row === undefined) return 'none';
  return row.id === null ? 'other' : keyVersionRow(row);
}

async function recordUses(pool: Pool, uses: readonly VersionUses[]): Promise<void> {
  for (let from = 0; from < uses.length; from += USES_PER_STATEMENT) {
    const chunk = uses.slice(from, from + USES_PER_STATEMENT);
    await run(pool, sql.RECORD_USES, [
      chunk.map((used) => used.tenantId),
      chunk.map((used) => used.scopeId),
      chunk.map((used) => used.id),
      chunk.map((used) => used.uses),
    ]);
  }
}
