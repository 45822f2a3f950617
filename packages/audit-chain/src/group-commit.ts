import { headAfter, makeBatch } from './batch.ts';
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

  add(queue: TenantQueue): void {
    this.#ready.add(queue);
    if (this.#running) return;
    this.#running = true;
    // What arrived in the same read of the network comes into the same flush.
    setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    while (this.#ready.size > 0) {
      const parts = this.#take();
      if (parts.length > 0) await this.#flush(parts);
    }
    this.#running = false;
  }

  #take(): readonly Part[] {
    const parts: Part[] = [];
    let entries = MOST_ENTRIES;
    let bytes = MOST_BYTES;
    for (const queue of this.#ready) {
      if (entries === 0 || bytes <= 0) break;
      this.#ready.delete(queue);
      this.#options.expire(queue);
      const after = queue.head ?? queue.guess;
      queue.guess = undefined;
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
        if (isUnavailable(error)) queue.doubt = { taken, batch };
        else queue.giveBack(taken);
        this.#options.done(queue);
      }
      return;
    }
    for (const [i, { queue, taken, batch }] of parts.entries()) {
      const outcome = outcomes[i]!;
      if (outcome === true) {
        queue.head = headAfter(batch);
        queue.resolve(taken, batch.after.seq + 1);
      } else {
        queue.giveBack(taken);
        if (outcome === 'busy') queue.contended = true;
        else {
          // Others do not wait for what is known of this log.
          void this.#lost(queue, outcome);
          continue;
        }
      }
      this.#options.done(queue);
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
    this.#options.done(queue);
  }
}
