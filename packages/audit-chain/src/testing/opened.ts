import { randomBytes, randomUUID } from 'node:crypto';
import { equal } from '@minikms/crypto-core';
import { ChainVerifier } from '../chain.ts';
import { entryHash, type AuditEntry } from '../entry.ts';
import type { AuditStore, Batch, EntryReader, Head, NewEntry } from '../ports.ts';

/** A store that a contract suite runs on. */
export interface OpenedAuditStore {
  readonly store: AuditStore;
  /** Holds a log that has entries, as another server does that is writing it, until the function it gives is called. */
  hold(tenantId: string): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export const EMPTY: Head = { seq: 0, hash: new Uint8Array(32), epoch: 1 };

/** An id that no other test uses. */
export function newTenant(prefix = 'tenant'): string {
  return `${prefix}-${randomUUID()}`;
}

export function newEntry(tenantId: string, change: Partial<NewEntry> = {}): NewEntry {
  return {
    tenantId,
    timestampUs: 1_767_225_600_000_000 + randomBytes(4).readUInt32BE(),
    action: 'kms.encrypt',
    actorId: `m_${randomUUID()}`,
    details: `{"outcome":"OK","request":"${randomUUID()}"}`,
    requestJwtHash: new Uint8Array(0),
    ...change,
  };
}

export function newEntries(tenantId: string, count: number): readonly NewEntry[] {
  return Array.from({ length: count }, () => newEntry(tenantId));
}

/** What the log holds when these entries follow a head. */
export function follow(after: Head, entries: readonly NewEntry[]): readonly AuditEntry[] {
  let { seq, hash: previousHash } = after;
  return entries.map((entry) => {
    const placed = { ...entry, timestampUs: BigInt(entry.timestampUs), seq: BigInt((seq += 1)), previousHash };
    previousHash = entryHash(placed);
    return { ...placed, entryHash: previousHash };
  });
}

export function batchOf(after: Head, entries: readonly NewEntry[]): Batch {
  const hashes = follow(after, entries).map((entry) => entry.entryHash);
  return { tenantId: entries[0]!.tenantId, after, entries, hashes };
}

export function headAfter({ after, hashes }: Batch): Head {
  return { seq: after.seq + hashes.length, hash: hashes.at(-1)!, epoch: after.epoch };
}

/** Buffers and arrays of the same bytes are the same to a test. */
export function plain<T>(value: T): T {
  if (value instanceof Uint8Array) return Uint8Array.from(value) as T;
  if (Array.isArray(value)) return value.map(plain) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)])) as T;
}

/** All entries of a log, read in pages. Throws unless the chain is whole and ends with the head. */
export async function wholeLog(reader: EntryReader, tenantId: string): Promise<readonly AuditEntry[]> {
  const chain = new ChainVerifier();
  const log: AuditEntry[] = [];
  for (;;) {
    const page = await reader.entriesAfter(tenantId, log.length, 1000);
    for (const entry of page) {
      const fault = chain.add(entry);
      if (fault !== undefined) throw new Error(`${fault.code}: ${fault.message}`);
    }
    log.push(...page);
    if (page.length < 1000) break;
  }
  const head = (await reader.head(tenantId)) ?? EMPTY;
  if (head.seq !== log.length || !equal(head.hash, chain.head)) throw new Error('the head is not that of the entries');
  return log;
}
