import { equal } from '@minikms/crypto-core';
import { HASH_LENGTH } from './bounds.ts';
import { HashInput } from './hash-input.ts';
import type { Batch, Head, NewEntry } from './ports.ts';

// Overwritten by each entry, and read before the next.
const input = new HashInput();
const zeros = new Uint8Array(HASH_LENGTH);

/** The end of a log without entries. */
export const EMPTY: Head = { seq: 0, hash: zeros, epoch: 1 };

/**
 * How many bytes are hashed of an entry.
 *
 * @throws AuditError `ENTRY_INVALID` for a field outside its bounds.
 */
export function entryBytes(entry: NewEntry): number {
  input.putNew(entry, 1, zeros);
  return input.end;
}

/** Hashes entries as they follow a head. */
export function makeBatch(after: Head, entries: readonly NewEntry[]): Batch {
  let { seq, hash } = after;
  const hashes = entries.map((entry) => {
    input.putNew(entry, (seq += 1), hash);
    return (hash = input.hash());
  });
  return { tenantId: entries[0]!.tenantId, after, entries, hashes };
}

/** The head of a log to which a batch was appended. */
export function headAfter({ after, hashes }: Batch): Head {
  return { seq: after.seq + hashes.length, hash: hashes.at(-1)!, epoch: after.epoch };
}

/** Whether a log that ended with `before` ends with `head` because this one entry was appended. */
export function follows(before: Head, entry: NewEntry, head: Head): boolean {
  if (head.epoch !== before.epoch || head.seq !== before.seq + 1) return false;
  input.putNew(entry, head.seq, before.hash);
  return equal(input.hash(), head.hash);
}
