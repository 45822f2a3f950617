import { randomUUID } from 'node:crypto';
import { type AuditStore, type Batch, ChainVerifier, entryHash, type Head, type NewEntry } from '@minikms/audit-chain';

export const EMPTY: Head = { seq: 0, hash: new Uint8Array(32), epoch: 1 };

export function newEntries(tenantId: string, count: number): readonly NewEntry[] {
  return Array.from({ length: count }, () => ({
    tenantId,
    timestampUs: 1_767_225_600_000_000,
    action: 'kms.encrypt',
    actorId: 'op_9f2',
    details: randomUUID(),
    requestJwtHash: new Uint8Array(32).fill(7),
  }));
}

export function batchOf(after: Head, entries: readonly NewEntry[]): Batch {
  let { seq, hash: previousHash } = after;
  const hashes = entries.map((entry) => {
    const placed = { ...entry, timestampUs: BigInt(entry.timestampUs), seq: BigInt((seq += 1)), previousHash };
    return (previousHash = entryHash(placed));
  });
  return { tenantId: entries[0]!.tenantId, after, entries, hashes };
}

/** A batch that goes where the log ends now. */
export async function nextBatch(store: AuditStore, tenantId: string, count: number): Promise<Batch> {
  return batchOf((await store.head(tenantId)) ?? EMPTY, newEntries(tenantId, count));
}

/** The `details` of a log, in its order. Throws unless its chain is whole and ends with its head. */
export async function verified(store: AuditStore, tenantId: string): Promise<readonly string[]> {
  const chain = new ChainVerifier();
  const details: string[] = [];
  for (let more = true; more;) {
    const page = await store.entriesAfter(tenantId, chain.size, 1_000);
    for (const entry of page) {
      const fault = chain.add(entry);
      if (fault) throw new Error(`${tenantId}: ${fault.code} ${fault.message}`);
      details.push(entry.details);
    }
    more = page.length > 0;
  }
  const head = await store.head(tenantId);
  if ((head?.seq ?? 0) !== chain.size || Buffer.compare(head?.hash ?? chain.head, chain.head) !== 0) {
    throw new Error(`the head of ${tenantId} is not its last entry`);
  }
  return details;
}
