import { toHex } from '@minikms/crypto-core';
import { expect, vi, type Mock } from 'vitest';
import {
  type AuditEntry,
  Checkpointer,
  type CheckpointerOptions,
  formatOrigin,
  type Incident,
  type KnownCheckpoints,
  MemoryKnownCheckpoints,
  type NewEntry,
  openCheckpoint,
  type StoredCheckpoint,
} from '../src/index.ts';
import { MemoryAuditStore } from '../src/testing/memory.ts';
import { keyOf, LOG, noteSigner, treeOf } from './cases.ts';

export const TENANT = 'acme';

let number = 0;
export function newEntries(tenantId: string, count: number): readonly NewEntry[] {
  return Array.from({ length: count }, () => ({
    tenantId,
    timestampUs: 1_767_225_600_000_000 + (number += 1),
    action: 'kms.encrypt',
    actorId: 'm_1',
    details: '{"outcome":"OK"}',
    requestJwtHash: new Uint8Array(0),
  }));
}

export async function grow(store: MemoryAuditStore, count: number, tenantId: string = TENANT): Promise<void> {
  if (count > 0) await store.appendInTurn(newEntries(tenantId, count), []);
}

/** The whole log, past the 10,000 that are read at once. */
export async function logOf(store: MemoryAuditStore, tenantId: string = TENANT): Promise<readonly AuditEntry[]> {
  return store.entriesAfter(tenantId, 0, 1_000_000);
}

export interface Server {
  readonly checkpointer: Checkpointer;
  readonly known: KnownCheckpoints;
  readonly incidents: readonly Incident[];
  readonly problems: readonly unknown[];
  /** Of the key by which this server signs. */
  readonly sign: Mock<(message: Uint8Array) => Uint8Array>;
}

/** A server on a store; what several share is given. */
export function serverOn(store: CheckpointerOptions['store'], options: Partial<CheckpointerOptions> = {}): Server {
  const incidents: Incident[] = [];
  const problems: unknown[] = [];
  const known = options.known ?? new MemoryKnownCheckpoints();
  const signer = options.signer ?? noteSigner(1);
  const sign = vi.spyOn(signer.signer, 'sign');
  const checkpointer = new Checkpointer({
    store,
    log: LOG,
    onIncident: (incident) => incidents.push(incident),
    onProblem: (_, problem) => problems.push(problem),
    ...options,
    known,
    signer,
  });
  return { checkpointer, known, incidents, problems, sign };
}

/** A checkpoint says what it should: signed, of its log, and with the root of these entries. */
export function expectCheckpoint(checkpoint: StoredCheckpoint, log: readonly AuditEntry[], size = log.length): void {
  const { tenantId, epoch, note, root } = checkpoint;
  const origin = formatOrigin({ log: LOG, tenantId, epoch });
  const opened = openCheckpoint(note, [keyOf(noteSigner(1))]);
  expect({ ...opened, root: toHex(opened.root) }).toEqual({ origin, size, root: toHex(root) });
  expect(checkpoint.size).toBe(size);
  expect(toHex(root)).toBe(toHex(treeOf(log.slice(0, size)).root()));
}

/** Takes turns of the event loop, more or fewer, so that calls overtake each other. */
export function unsteady(seed: number): () => Promise<void> {
  let state = seed + 1;
  return async () => {
    state = (state * 48_271) % 2_147_483_647;
    for (let turns = state % 5; turns >= 0; turns -= 1) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  };
}
