import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { equal, KmsError } from '@minikms/crypto-core';
import { EMPTY, headAfter, makeBatch } from './batch.ts';
import { isUnavailable, type LaneOptions } from './lane.ts';
import type { Head, NewEntry, Outcome } from './ports.ts';
import { type Doubt, subjectsOf, type TenantQueue } from './tenant-queue.ts';

/** Of one call: others wait for the log meanwhile. */
const MOST_ENTRIES = 256;
const MOST_BYTES = 1024 * 1024;
/** Between failures, in milliseconds: doubled from the first to the second. */
const PAUSE = [10, 200] as const;

/** Compares what the store said of a log with what is known of it, and only then goes on with its entries. */
type Compare = () => Promise<void>;

/**
 * The lane of the logs that others write too, and of those for which a call failed: one log a call, a few at a time. A
 * log that is held for long takes one of the workers and no more.
 *
 * An append in turn is tried once. One of which the outcome is not known may wait for its log still, unseen by who looks
 * for it, and be written after all: tried again it would stand there twice. Its callers are told that it failed.
 */
export class InTurn {
  readonly #options: LaneOptions;
  readonly #mostWorkers: number;
  readonly #ready = new Set<TenantQueue>();
  #workers = 0;

  constructor(options: LaneOptions, workers: number) {
    this.#options = options;
    this.#mostWorkers = workers;
  }

  add(queue: TenantQueue): void {
    this.#ready.add(queue);
    if (this.#workers === this.#mostWorkers) return;
    this.#workers += 1;
    void this.#work();
  }

  async #work(): Promise<void> {
    await turn();
    let failures = 0;
    for (const queue of this.#ready) {
      this.#ready.delete(queue);
      try {
        const compare = await this.#serve(queue);
        failures = 0;
        if (compare === undefined) this.#options.done(queue);
        else void this.#compare(queue, compare);
      } catch (error) {
        this.#options.expire(queue, error);
        this.#options.done(queue);
        await sleep(Math.min(PAUSE[0] * 2 ** failures, PAUSE[1]));
        failures += 1;
      }
    }
    this.#workers -= 1;
  }

  /** Takes no worker: what is known outside of the store may be slow to come. */
  async #compare(queue: TenantQueue, compare: Compare): Promise<void> {
    try {
      await compare();
    } catch (error) {
      this.#options.expire(queue, error);
      await sleep(PAUSE[1]);
    }
    this.#options.done(queue);
  }

  /** Throws what the store throws when it should be asked again. */
  async #serve(queue: TenantQueue): Promise<Compare | undefined> {
    const { store, guard, expire } = this.#options;
    const { tenantId, head, doubt } = queue;
    if (doubt !== undefined) return this.#repeat(queue, doubt);
    if (head !== undefined) {
      expire(queue);
      guard.check();
      return this.#append(queue, head);
    }
    const found = (await store.head(tenantId)) ?? EMPTY;
    return async () => {
      await guard.accept(tenantId, found, undefined);
      queue.head = found;
    };
  }

  async #append(queue: TenantQueue, base: Head): Promise<Compare | undefined> {
    const { store, guard } = this.#options;
    const taken = queue.take(MOST_ENTRIES, MOST_BYTES);
    if (taken.length === 0) return undefined;
    const entries = taken.map(({ entry }) => entry);
    let appended: Awaited<ReturnType<typeof store.appendInTurn>>;
    try {
      appended = await store.appendInTurn(entries, subjectsOf([{ taken }]));
    } catch (error) {
      if (isUnavailable(error)) {
        queue.reject(taken, error);
        throw error;
      }
      if (taken.length === 1) queue.reject(taken, error);
      else {
        // One of them is refused, and takes only itself down when each comes alone.
        queue.alone = taken.length;
        queue.giveBack(taken);
      }
      return undefined;
    }
    const { first, head } = appended;
    return async () => {
      try {
        await guard.accept(queue.tenantId, headBefore(base, entries, appended), base);
      } catch (error) {
        queue.reject(taken, error);
        throw error;
      }
      queue.head = head;
      queue.contended = first !== base.seq + 1;
      queue.resolve(taken, first);
    };
  }

  /**
   * Appends a batch that is appended once, however often that is tried: its head is followed by it, now or since before,
   * or by something else and then for ever.
   */
  async #repeat(queue: TenantQueue, doubt: Doubt): Promise<Compare | undefined> {
    const { store, guard } = this.#options;
    const { batch, taken } = doubt;
    const first = batch.after.seq + 1;
    let outcome: Outcome | undefined;
    try {
      [outcome] = await store.append([batch], subjectsOf([{ taken }]));
    } catch (error) {
      if (isUnavailable(error)) throw error;
      // Refused, as it was before then: which of them is the reason shows when each comes alone.
      queue.alone = taken.length;
    }
    if (outcome === 'busy') throw new KmsError('STORE_UNAVAILABLE', 'the log is held by somebody else');
    const [hash] = outcome === true ? batch.hashes : await store.entryHashes(queue.tenantId, first, first);
    if (queue.doubt === doubt) queue.doubt = undefined;
    if (hash !== undefined && equal(hash, batch.hashes[0]!)) {
      queue.head = headAfter(batch);
      queue.contended = false;
      queue.alone = 0;
      queue.resolve(taken, first);
      return undefined;
    }
    queue.contended = true;
    queue.giveBack(taken);
    if (typeof outcome !== 'object') return undefined;
    const head = outcome;
    return async () => {
      await guard.accept(queue.tenantId, head, queue.head);
      queue.head = head;
    };
  }
}

/** The end of a log before entries were appended to it in turn; its hash is `base`'s only if they follow that. */
function headBefore(base: Head, entries: readonly NewEntry[], { first, head }: { first: number; head: Head }): Head {
  const linked = first === base.seq + 1 && equal(makeBatch(base, entries).hashes.at(-1)!, head.hash);
  return { seq: first - 1, hash: linked ? base.hash : EMPTY.hash, epoch: head.epoch };
}
