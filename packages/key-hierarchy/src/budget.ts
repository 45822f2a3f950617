import type { KeyStore, Scope, VersionUses } from './ports.ts';

/** NIST SP 800-38D §8.3 allows 2^32 encryptions with random 96-bit nonces; this is a quarter. */
export const DEFAULT_MAX_ENCRYPTIONS: number = 2 ** 30;
/** NIST SP 800-38D §8.3. */
export const LARGEST_MAX_ENCRYPTIONS: number = 2 ** 32;

const FIRST_LEASE = 256;
const LARGEST_LEASE = 65_536;

/**
 * How many uses to lease next: a key that is used much asks seldom, one that is used little loses little when its server
 * stops. Never more than a 64th of the budget, so that it ends close to its figure.
 *
 * @param previous the size of the lease before, 0 for the first.
 */
export function leaseSize(previous: number, maxEncryptions: number): number {
  const grown = previous === 0 ? FIRST_LEASE : Math.min(previous * 2, LARGEST_LEASE);
  return Math.max(1, Math.min(grown, Math.floor(maxEncryptions / 64)));
}

interface Round {
  readonly recorded: Promise<void>;
  readonly reads: Promise<unknown>[];
}

/**
 * Counts encryptions in memory and records them in the store when told to, so that no encryption waits for a write.
 * A crash loses what was counted since the last {@link UseCounter.record}; the budget itself is kept by leases.
 */
export class UseCounter {
  readonly #store: KeyStore;
  #pending: Map<string, { readonly scope: Scope; uses: number }> = new Map();
  #queue: Promise<unknown> = Promise.resolve();
  #next: Round | undefined;

  constructor(store: KeyStore) {
    this.#store = store;
  }

  add(scope: Scope, id: string, uses: number): void {
    const counted = this.#pending.get(id);
    if (counted === undefined) this.#pending.set(id, { scope, uses });
    else counted.uses += uses;
  }

  /** Uses of a version that are counted here and not yet recorded. */
  pending(id: string): number {
    return this.#pending.get(id)?.uses ?? 0;
  }

  /** Records everything counted so far; what the store did not take stays counted. */
  record(): Promise<void> {
    return this.recordThen(async () => {});
  }

  /**
   * Records, then runs `read` before anything else is recorded: recorded plus pending is then exact. Who asks while an
   * earlier round is under way shares the next one.
   */
  recordThen<T>(read: () => Promise<T>): Promise<T> {
    const round = (this.#next ??= this.#begin());
    const done = round.recorded.then(read);
    round.reads.push(done);
    return done;
  }

  #begin(): Round {
    const reads: Promise<unknown>[] = [];
    const recorded = this.#queue.then(() => {
      this.#next = undefined;
      return this.#recordAll();
    });
    const settled = (): Promise<unknown> => Promise.allSettled(reads);
    this.#queue = recorded.then(settled, settled);
    return { recorded, reads };
  }

  async #recordAll(): Promise<void> {
    if (this.#pending.size === 0) return;
    const taken = this.#pending;
    this.#pending = new Map();
    const all: VersionUses[] = [];
    for (const [id, { scope, uses }] of taken) all.push({ tenantId: scope.tenantId, scopeId: scope.scopeId, id, uses });
    let recorded = 0;
    try {
      for (; recorded < all.length; recorded += 1000)
        await this.#store.recordUses(all.slice(recorded, recorded + 1000));
    } catch (error) {
      for (const { id, uses, ...scope } of all.slice(recorded)) this.add(scope, id, uses);
      throw error;
    }
  }
}
