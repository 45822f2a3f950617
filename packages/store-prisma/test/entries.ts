import { createHash, randomUUID } from 'node:crypto';
import type { ChangeEntry, Written } from '@minikms/key-hierarchy';
import type { Database } from './fixture.ts';

export function newEntry(tenantId: string): ChangeEntry {
  return {
    tenantId,
    timestampUs: 1_767_225_600_000_000,
    action: 'kms.rotate_data_key',
    actorId: 'op_9f2',
    details: JSON.stringify({ request: randomUUID() }),
    requestJwtHash: new Uint8Array(32).fill(7),
  };
}

interface LogRow {
  readonly seq: string;
  readonly timestamp_us: string;
  readonly action: string;
  readonly actor_id: string;
  readonly details: string;
  readonly request_jwt_hash: Uint8Array;
  readonly previous_hash: Buffer;
  readonly entry_hash: Buffer;
}

/**
 * The entries of a log, in its order.
 *
 * @throws Error when they are not numbered and linked from the first to the head, or a hash is wrong.
 */
export async function writtenEntries(db: Database, tenantId: string): Promise<(ChangeEntry & Written)[]> {
  const rows = (await db.query('SELECT * FROM kms_audit_log WHERE tenant_id = $1 ORDER BY seq', [
    tenantId,
  ])) as unknown as LogRow[];
  const [head] = await db.query('SELECT seq, hash FROM audit_heads WHERE tenant_id = $1', [tenantId]);
  let previous: Buffer = Buffer.alloc(32);
  const entries = rows.map((row, at) => {
    const entry = {
      tenantId,
      seq: Number(row.seq),
      timestampUs: Number(row.timestamp_us),
      action: row.action,
      actorId: row.actor_id,
      details: row.details,
      requestJwtHash: new Uint8Array(row.request_jwt_hash),
    };
    const hash = entryHash(entry, previous);
    if (entry.seq !== at + 1 || !row.previous_hash.equals(previous) || !row.entry_hash.equals(hash)) {
      throw new Error(`entry ${entry.seq} of ${tenantId} does not follow the one before it`);
    }
    previous = hash;
    return entry;
  });
  const end = { seq: String(entries.length), hash: previous };
  if (head === undefined ? entries.length > 0 : head['seq'] !== end.seq || !previous.equals(head['hash'] as Buffer)) {
    throw new Error(`the head of ${tenantId} is not its last entry`);
  }
  return entries;
}

// spec/audit-chain.md §2.
function entryHash(entry: ChangeEntry & Written, previous: Buffer): Buffer {
  const uint64 = (n: number): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(n));
    return bytes;
  };
  const hash = createHash('sha256').update('minikms/audit/v2');
  for (const field of [
    previous,
    uint64(entry.timestampUs),
    entry.action,
    entry.actorId,
    entry.details,
    entry.tenantId,
    uint64(entry.seq),
    entry.requestJwtHash,
  ]) {
    const bytes = Buffer.from(field as Buffer);
    hash.update(uint64(bytes.length)).update(bytes);
  }
  return hash.digest();
}
