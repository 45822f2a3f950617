import { KmsError } from '@minikms/crypto-core';
import { EMPTY, entryBytes, follows } from './batch.ts';
import { AuditError } from './errors.ts';
import { GroupCommit } from './group-commit.ts';
import { InTurn } from './in-turn.ts';
import type { LaneOptions } from './lane.ts';
import type { Head, NewEntry, Position, Subject } from './ports.ts';
import { type Floor, type Incident, RollbackGuard } from './rollback-guard.ts';
import { type Load, TenantQueue } from './tenant-queue.ts';

export interface AppenderOptions {
  readonly store: LaneOptions['store'];
  /** The highest checkpoint of a log that is known outside of the store, from memory or a directory. */
  readonly floor: (tenantId: string) => Floor | undefined | Promise<Floor | undefined>;
  /** Told once when appends stop because a log lost entries. Must not throw. */
  readonly onIncident: (incident: Incident) => void;
  /** Entries that wait or are on their way, at most; 8192. An eighth of it for one tenant. */
  readonly maxQueued?: number;
  /** Bytes that are hashed of them, at most; 32 MiB. An eighth of it for one tenant. */
  readonly maxQueuedBytes?: number;
  /** Logs of which the end is remembered; 16384. */
  readonly maxLogs?: number;
  /** Milliseconds after which an entry is given up that could not be written; 5000. */
  readonly giveUpMs?: number;
  /** Logs at once that others write too, or that a call failed for; 4. Each takes a connection of the store. */
  readonly maxInTurn?: number;
  /** Milliseconds that never go back. */
  readonly now?: () => number;
}

const NONE: readonly Subject[] = [];

/**
 * Appends entries to the logs of all tenants, many at a time: what arrives while a write is on its way goes together in
 * the next one. Several servers may write the same logs. Bounded in entries, bytes and time.
 *
 * An entry that was answered stands in the log once. When the outcome of a write is not known, it is tried again where
 * that cannot write it twice, and given up where it could: in logs that others write at the same time. One that was given
 * up may stand in the log all the same. Every entry is answered or given up in time, whatever hangs.
 */
export class Appender {
  readonly #guard: RollbackGuard;
  readonly #group: GroupCommit;
  readonly #inTurn: InTurn;
  readonly #options: Required<Pick<AppenderOptions, 'giveUpMs' | 'maxLogs' | 'maxQueued' | 'maxQueuedBytes' | 'now'>>;
  /** By tenant, least recently used first. */
  readonly #queues = new Map<string, TenantQueue>();
  readonly #load: Load = { entries: 0, bytes: 0 };
  #closed: PromiseWithResolvers<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: AppenderOptions) {
    const { maxQueued = 8192, maxQueuedBytes = 32 * 1024 * 1024, maxLogs = 16_384, giveUpMs = 5000 } = options;
    this.#options = { maxQueued, maxQueuedBytes, maxLogs, giveUpMs, now: options.now ?? (() => performance.now()) };
    const { store, floor } = options;
    const onIncident = (incident: Incident): void => {
      for (const queue of this.#queues.values()) this.#reject(queue);
      this.#finish();
      options.onIncident(incident);
    };
    this.#guard = new RollbackGuard({ store, floor, onIncident, giveUpMs });
    const lane: LaneOptions = {
      store,
      guard: this.#guard,
      expire: (queue, error) => this.#expire(queue, error),
      done: (queue) => this.#dispatch(queue),
    };
    this.#group = new GroupCommit(lane);
    this.#inTurn = new InTurn(lane, options.maxInTurn ?? 4);
  }

  /** Why appends are refused; `undefined` when they are not. */
  get incident(): Incident | undefined {
    return this.#guard.incident;
  }

  /** Entries that wait or are on their way. */
  get queued(): number {
    return this.#load.entries;
  }

  /**
   * Appends one entry; resolves when it is on disk.
   *
   * @param subjects that the entry names and that may not be stored yet.
   * @throws AuditError, by rejecting: `ENTRY_INVALID`; `AUDIT_QUEUE_FULL` when too much waits already, at once;
   *   `AUDIT_LOG_BEHIND` during an incident; `AUDIT_CLOSED`. KmsError `STORE_UNAVAILABLE` when it could not be written
   *   in time. What else the store throws when it refuses this entry.
   */
  append(entry: NewEntry, subjects: readonly Subject[] = NONE): Promise<Position> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) throw new AuditError('AUDIT_CLOSED', 'the audit log is closed');
      this.#guard.check();
      const bytes = entryBytes(entry);
      const queue = this.#queue(entry.tenantId);
      this.#admit(queue, bytes);
      queue.push({ entry, subjects, bytes, queuedAt: this.#options.now(), resolve, reject, settled: false });
      if (!queue.busy) this.#dispatch(queue);
      this.#watch();
    });
  }

  /**
   * Takes note that somebody of this process appended an entry past the appender, in a transaction of his own, and where the
   * log ends since: the next append then needs no second try.
   */
  learn(entry: NewEntry, head: Head): void {
    const queue = this.#queue(entry.tenantId);
    if (queue.busy) return;
    if (queue.head === undefined) queue.learned = head;
    // Only when nothing came between: what others wrote has to be compared first.
    else if (follows(queue.head, entry, head)) queue.head = head;
  }

  /** Stops all appends until the log of this tenant has an epoch above `epoch`, for a fork that was found elsewhere. */
  halt(tenantId: string, epoch: number, reason: string): void {
    this.#guard.halt(tenantId, epoch, reason);
  }

  /**
   * Looks whether an incident is over, since a new epoch of its log was opened; to be called now and then. Rejects with
   * what the store throws.
   *
   * @returns whether entries are taken.
   */
  async recheck(): Promise<boolean> {
    const before = this.#guard.incident;
    const over = await this.#guard.recheck();
    if (over && before !== undefined) {
      // Somebody decided to go on from what the store has; what it had before counts no more.
      for (const queue of this.#queues.values()) queue.head = undefined;
    }
    return over;
  }

  /** Refuses entries from now on; resolves when those that wait are on disk or given up. */
  close(): Promise<void> {
    this.#closed ??= Promise.withResolvers();
    this.#finish();
    return this.#closed.promise;
  }

  #admit(queue: TenantQueue, bytes: number): void {
    const { maxQueued, maxQueuedBytes } = this.#options;
    for (const [load, share] of [
      [this.#load, 1],
      [queue.load, 8],
    ] as const) {
      if (load.entries < maxQueued / share && load.bytes + bytes <= maxQueuedBytes / share) continue;
      throw new AuditError('AUDIT_QUEUE_FULL', 'too many audit entries wait to be written');
    }
  }

  #dispatch(queue: TenantQueue): void {
    if (this.#guard.incident !== undefined) this.#reject(queue);
    queue.busy = !queue.idle;
    if (!queue.busy) {
      queue.alone = 0;
      this.#finish();
    } else if (queue.contended || queue.alone > 0 || queue.doubt !== undefined) this.#inTurn.add(queue);
    else if (queue.head !== undefined || queue.guess !== undefined) this.#group.add(queue);
    else void this.#guess(queue);
  }

  /**
   * Finds where a log could end of which nothing is known: it may not have begun. One that has a checkpoint has begun, and
   * is not written to before its head was compared with that: no entry has this hash, so the answer is the head.
   */
  async #guess(queue: TenantQueue): Promise<void> {
    try {
      const floor = await this.#guard.floor(queue.tenantId);
      const { learned } = queue;
      queue.learned = undefined;
      if (learned !== undefined && (floor === undefined || covers(learned, floor))) queue.guess = learned;
      else queue.guess = floor === undefined ? EMPTY : { seq: floor.size, hash: EMPTY.hash, epoch: floor.epoch };
    } catch {
      queue.contended = true;
    }
    this.#dispatch(queue);
  }

  /** Made when it is not there; the most recently used from now on. */
  #queue(tenantId: string): TenantQueue {
    const queue = this.#queues.get(tenantId) ?? new TenantQueue(tenantId, this.#load);
    // The order matters when there are many, and keeping it costs.
    if (queue.busy || (this.#queues.size * 2 < this.#options.maxLogs && this.#queues.has(tenantId))) return queue;
    this.#queues.delete(tenantId);
    this.#queues.set(tenantId, queue);
    let looks = 8;
    for (const [id, oldest] of this.#queues) {
      if (this.#queues.size <= this.#options.maxLogs || looks === 0) break;
      looks -= 1;
      this.#queues.delete(id);
      if (oldest.busy || oldest === queue) this.#queues.set(id, oldest);
    }
    return queue;
  }

  #expire(queue: TenantQueue, error?: unknown): void {
    const late = (): unknown =>
      error ?? new KmsError('STORE_UNAVAILABLE', 'the audit log did not take an entry in time');
    queue.expire(this.#options.now() - this.#options.giveUpMs, late);
  }

  #reject(queue: TenantQueue): void {
    queue.rejectWaiting(() => this.#guard.error());
  }

  /** Looks for what is late, as long as something waits: a lane that hangs does not. */
  #watch(): void {
    if (this.#timer !== undefined || this.#load.entries === 0) return;
    const look = (): void => {
      this.#timer = undefined;
      for (const queue of this.#queues.values()) if (queue.load.entries > 0) this.#expire(queue);
      this.#finish();
      this.#watch();
    };
    this.#timer = setTimeout(look, this.#options.giveUpMs / 8).unref();
  }

  #finish(): void {
    if (this.#load.entries === 0) this.#closed?.resolve();
  }
}

function covers(head: Head, floor: Floor): boolean {
  return head.epoch > floor.epoch || (head.epoch === floor.epoch && head.seq >= floor.size);
}
