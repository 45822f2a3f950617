import type { AuditEntry, EntryFilter, EntryReader } from '@minikms/audit-chain';
import type { Pool } from 'pg';
import * as sql from './audit-statements.ts';
import { headOf, type StoredHead } from './audit-writer.ts';
import { run, type Statement } from './statement.ts';
import type { Turns } from './turns.ts';

type StoredEntry = Omit<AuditEntry, 'seq' | 'timestampUs'> & { readonly seq: string; readonly timestampUs: string };

/**
 * Entries out of `kms_audit_log`. Pages of whole entries go `inTurn`: an export or a search takes seconds of a
 * connection, and a crowd of them would keep every connection from those who answer requests.
 */
export function entryReader(pool: Pool, inTurn: Turns): EntryReader {
  const page = async (statement: Statement, values: readonly unknown[]): Promise<readonly AuditEntry[]> =>
    (await inTurn(() => run<StoredEntry>(pool, statement, values))).map(entryOf);
  return {
    head: async (tenantId) => {
      const [head] = await run<StoredHead>(pool, sql.HEAD, [tenantId]);
      return head && headOf(head);
    },
    entriesAfter: (tenantId, seq, limit) => page(sql.ENTRIES_AFTER, [tenantId, seq, limit]),
    findEntries: (tenantId, filter, limit, offset) =>
      page(sql.FIND_ENTRIES, [tenantId, ...filterValues(filter), limit, offset]),
    entryHashes: async (tenantId, from, to) => {
      const [row] = await run<{ hashes: Uint8Array }>(pool, sql.ENTRY_HASHES, [tenantId, from, to]);
      return row ? hashesOf(row.hashes) : [];
    },
  };
}

/** The hashes that stand one after the other in `joined`, each in an array of its own. */
export function hashesOf(joined: Uint8Array): readonly Uint8Array[] {
  return Array.from({ length: joined.length / 32 }, (_, index) =>
    Uint8Array.prototype.slice.call(joined, index * 32, index * 32 + 32),
  );
}

/** $2–$6 of the search. */
function filterValues(filter: EntryFilter): unknown[] {
  const { action, actorId, fromUs, beforeUs, beforeSeq = Number.MAX_SAFE_INTEGER } = filter;
  return [beforeSeq, action, actorId, fromUs, beforeUs];
}

/** The entry as the port has it. Copies the bytes: the driver's buffers are slices of larger ones. */
function entryOf(stored: StoredEntry): AuditEntry {
  return {
    seq: BigInt(stored.seq),
    timestampUs: BigInt(stored.timestampUs),
    action: stored.action,
    actorId: stored.actorId,
    details: stored.details,
    tenantId: stored.tenantId,
    requestJwtHash: new Uint8Array(stored.requestJwtHash),
    previousHash: new Uint8Array(stored.previousHash),
    entryHash: new Uint8Array(stored.entryHash),
  };
}
