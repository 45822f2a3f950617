import { KmsError } from '@minikms/crypto-core';
import type { EntryReader, EntryWriter } from './ports.ts';
import type { RollbackGuard } from './rollback-guard.ts';
import type { TenantQueue } from './tenant-queue.ts';

/**
 * What a lane, which takes entries from queues and appends them, is given. A lane waits for its store and for nothing
 * else: what is known outside of that is asked for one tenant at a time, while the lane goes on.
 */
export interface LaneOptions {
  /** Not `entriesAfter`: pages of entries are read in turn, among those of callers. */
  readonly store: EntryWriter & Pick<EntryReader, 'entryHashes' | 'head'>;
  readonly guard: RollbackGuard;
  /** Rejects what waits for too long, with this error if there is one. */
  readonly expire: (queue: TenantQueue, error?: unknown) => void;
  /** Takes a queue back, when what was taken from it is settled or given back. */
  readonly done: (queue: TenantQueue) => void;
}

/** Whether a call that ended in this error may have had its effect all the same (`ports.ts`). */
export function isUnavailable(error: unknown): boolean {
  return error instanceof KmsError && error.code === 'STORE_UNAVAILABLE';
}
