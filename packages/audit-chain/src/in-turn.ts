import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { equal, KmsError } from '@minikms/crypto-core';
import { EMPTY, headAfter, isSame } from './batch.ts';
import { isUnavailable, type LaneOptions } from './lane.ts';
import type { Batch, Head, Outcome } from './ports.ts';
import { type Doubt, subjectsOf, type TenantQueue, type Waiting } from './tenant-queue.ts';

/** Of one call: others wait for the log meanwhile. */
const MOST_ENTRIES = 256;
const MOST_BYTES = 1024 * 1024;
/** Between failures, in milliseconds: doubled from the first to the second. */
const PAUSE = [10, 200] as const;
const PAGE = 1000;

/**
 * The lane of the logs that others write too, and of those for which a call failed: one log a call, a few at a time. A
 * log that is held for long takes one of the workers and no more.
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

  get running(): boolean {
    return this.#workers > 0;
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
        await this.#serve(queue);
        failures = 0;
        this.#options.done(queue);
      } catch (error) {
        for (const one of [queue, ...this.#ready]) this.#options.expire(one, error);
        this.#options.done(queue);
        await sleep(Math.min(PAUSE[0] * 2 ** failures, PAUSE[1]));
        failures += 1;
      }
    }
    this.#workers -= 1;
    this.#options.idle();
  }

  /** Throws what the store throws when it should be asked again. */
  async #serve(queue: TenantQueue): Promise<void> {
    if (queue.doubt !== undefined) return this.#clear(queue, queue.doubt);
    const { store, guard, expire } = this.#options;
    const base = await this.#base(queue);
    expire(queue);
    guard.check();
    const taken = queue.take(MOST_ENTRIES, MOST_BYTES);
    if (taken.length === 0) return;
    let appended: Awaited<ReturnType<typeof store.appendInTurn>>;
    try {
      const entries = taken.map(({ entry }) => entry);
      appended = await store.appendInTurn(entries, subjectsOf([{ taken }]));
    } catch (error) {
      if (isUnavailable(error)) {
        queue.doubt = { taken, batch: undefined, after: base.seq };
        throw error;
      }
      if (taken.length === 1) return queue.reject(taken, error);
      // One of them is refused, and takes only itself down when each comes alone.
      queue.alone = taken.length;
      return queue.giveBack(taken);
    }
    const { first, head } = appended;
    try {
      await guard.accept(queue.tenantId, { ...base, seq: first - 1, epoch: head.epoch }, base);
    } catch (error) {
      queue.head = undefined;
      queue.reject(taken, error);
      throw error;
    }
    queue.head = head;
    queue.contended = first !== base.seq + 1;
    queue.resolve(taken, first);
  }

  async #base(queue: TenantQueue): Promise<Head> {
    if (queue.head !== undefined) return queue.head;
    const head = (await this.#options.store.head(queue.tenantId)) ?? EMPTY;
    await this.#options.guard.accept(queue.tenantId, head, undefined);
    return (queue.head = head);
  }

  async #clear(queue: TenantQueue, doubt: Doubt): Promise<void> {
    const { batch, taken } = doubt;
    const seq = batch === undefined ? await this.#find(queue.tenantId, doubt) : await this.#repeat(queue, batch, taken);
    if (queue.doubt === doubt) queue.doubt = undefined;
    if (seq === undefined) queue.giveBack(taken);
    else queue.resolve(taken, seq);
  }

  /**
   * Where a batch stands that is appended once, however often that is tried: its head is followed by it, now or since
   * before, or by something else and then for ever.
   */
  async #repeat(queue: TenantQueue, batch: Batch, taken: readonly Waiting[]): Promise<number | undefined> {
    const { store, guard } = this.#options;
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
    if (hash !== undefined && equal(hash, batch.hashes[0]!)) {
      queue.head = headAfter(batch);
      queue.contended = false;
      queue.alone = 0;
      return first;
    }
    queue.contended = true;
    if (typeof outcome === 'object') {
      await guard.accept(queue.tenantId, outcome, queue.head);
      queue.head = outcome;
    }
    return undefined;
  }

  /** Where entries stand that were to be appended in turn: together, or not at all. */
  async #find(tenantId: string, { taken, after }: Doubt): Promise<number | undefined> {
    const { store } = this.#options;
    for (let seq = after; ; seq += PAGE) {
      const page = await store.entriesAfter(tenantId, seq, PAGE);
      for (const [at, one] of page.entries()) {
        if (!isSame(one, taken[0]!.entry)) continue;
        const found = await store.entriesAfter(tenantId, seq + at, taken.length);
        if (taken.every(({ entry }, i) => isSame(found[i], entry))) return seq + at + 1;
      }
      if (page.length < PAGE) return undefined;
    }
  }
}
