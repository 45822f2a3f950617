import { EMPTY, headAfter, makeBatch } from './batch.ts';
import { isUnavailable, type LaneOptions } from './lane.ts';
import type { Batch, Head, Outcome } from './ports.ts';
import { subjectsOf, type TenantQueue, type Waiting } from './tenant-queue.ts';

/** Of one flush. */
const MOST_ENTRIES = 1000;
const MOST_BYTES = 4 * 1024 * 1024;
/** Of one tenant in a flush. */
const SHARE = 256;

interface Part {
  readonly queue: TenantQueue;
  readonly taken: readonly Waiting[];
  readonly batch: Batch;
}

/**
 * The lane of the logs that nobody else writes at the moment: one round trip for all that wait, while the next ones
 * gather. It has to know where a log ends; a queue for which that was wrong leaves it with `contended` set.
 */
export class GroupCommit {
  readonly #options: LaneOptions;
  /** First come, first served; a queue of which entries are left goes behind the others. */
  readonly #ready = new Set<TenantQueue>();
  #running = false;

  constructor(options: LaneOptions) {
    this.#options = options;
  }

  get running(): boolean {
    return this.#running;
  }

  add(queue: TenantQueue): void {
    this.#ready.add(queue);
    if (this.#running) return;
    this.#running = true;
    // What arrived in the same read of the network comes into the same flush.
    setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    while (this.#ready.size > 0) {
      const parts = await this.#take();
      if (parts.length > 0) await this.#flush(parts);
      for (const { queue } of parts) this.#options.done(queue);
    }
    this.#running = false;
    this.#options.idle();
  }

  async #take(): Promise<readonly Part[]> {
    const parts: Part[] = [];
    let entries = MOST_ENTRIES;
    let bytes = MOST_BYTES;
    for (const queue of this.#ready) {
      if (entries === 0 || bytes <= 0) break;
      this.#ready.delete(queue);
      this.#options.expire(queue);
      const after = queue.head ?? (await this.#guess(queue));
      const taken = after === undefined ? [] : queue.take(Math.min(entries, SHARE), bytes);
      if (after === undefined || taken.length === 0) {
        this.#options.done(queue);
        continue;
      }
      entries -= taken.length;
      for (const waiting of taken) bytes -= waiting.bytes;
      const news = taken.map(({ entry }) => entry);
      parts.push({ queue, taken, batch: makeBatch(after, news) });
    }
    return parts;
  }

  /**
   * Where a log could end of which nothing is known: it may not have begun. One that has a checkpoint has begun, and is
   * not written to before its head was compared with that: no entry has this hash, so the answer is the head.
   */
  async #guess(queue: TenantQueue): Promise<Head | undefined> {
    try {
      const floor = await this.#options.guard.floor(queue.tenantId);
      return floor === undefined ? EMPTY : { seq: floor.size, hash: EMPTY.hash, epoch: floor.epoch };
    } catch {
      queue.contended = true;
      return undefined;
    }
  }

  async #flush(parts: readonly Part[]): Promise<void> {
    const batches = parts.map(({ batch }) => batch);
    const subjects = subjectsOf(parts);
    let outcomes: readonly Outcome[];
    try {
      outcomes = await this.#options.store.append(batches, subjects);
    } catch (error) {
      // Alone, each in its turn: who of them is the reason does not hold up the others.
      for (const { queue, taken, batch } of parts) {
        queue.contended = true;
        if (isUnavailable(error)) queue.doubt = { taken, batch, after: batch.after.seq };
        else queue.giveBack(taken);
      }
      return;
    }
    for (const [i, part] of parts.entries()) {
      const outcome = outcomes[i]!;
      if (outcome === true) {
        part.queue.head = headAfter(part.batch);
        part.queue.resolve(part.taken, part.batch.after.seq + 1);
      } else {
        part.queue.giveBack(part.taken);
        if (outcome === 'busy') part.queue.contended = true;
        else await this.#lost(part.queue, outcome);
      }
    }
  }

  async #lost(queue: TenantQueue, head: Head): Promise<void> {
    try {
      await this.#options.guard.accept(queue.tenantId, head, queue.head);
      // Whose head was a guess tries again with the right one.
      if (queue.head !== undefined) queue.contended = true;
      queue.head = head;
    } catch {
      // An incident rejects whoever waits; what else fails here is met again in turn, where it is seen to.
      queue.contended = true;
    }
  }
}
