import type { ChangeClock, Scope } from '@minikms/key-hierarchy';
import type { ChangeLog } from '@minikms/store-prisma';

export interface ChangeFeedOptions {
  readonly log: ChangeLog;
  /** Milliseconds between polls. */
  readonly intervalMs: number;
  /** Milliseconds without a successful poll after which nothing cached may be used. */
  readonly staleAfterMs: number;
  /** Milliseconds for which changes are remembered; what is cached must not outlive it. */
  readonly horizonMs: number;
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** Told when the store is lost and when it is back. */
  readonly onHealth: (healthy: boolean, error: unknown) => void;
}

const PAUSE_MS = 20;

/**
 * What changed on other servers: polls the change log, and is a {@link ChangeClock} for caches. The shared cache's
 * messages only make it poll at once: they are hints, the log is the truth.
 */
export class ChangeFeed implements ChangeClock {
  readonly #options: ChangeFeedOptions;
  /** By tenant and scope: the last change, and when it was heard of. */
  readonly #tenants = new Map<string, Map<string, { number: number; heard: number }>>();
  #position = 0;
  /** Changes up to this number are no longer remembered. */
  #floor = 0;
  #polled = -Infinity;
  #healthy = false;
  #polling: Promise<void> | undefined;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;

  constructor(options: ChangeFeedOptions) {
    this.#options = options;
  }

  /** Polls once, so that the position is known, and from then on regularly. @throws what the store throws. */
  async start(): Promise<void> {
    const { number } = await this.#options.log.since(Number.MAX_SAFE_INTEGER);
    this.#position = number;
    this.#floor = number;
    this.#succeeded();
    this.#timer = setInterval(() => void this.poll(), this.#options.intervalMs);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#polling;
    clearTimeout(this.#soon);
  }

  position(): number {
    return this.#position;
  }

  fresh(): boolean {
    return this.#options.now() - this.#polled < this.#options.staleAfterMs;
  }

  changedSince(scope: Scope, position: number): boolean {
    if (position < this.#floor) return true;
    const changed = this.#tenants.get(scope.tenantId)?.get(scope.scopeId);
    return changed !== undefined && changed.number > position;
  }

  /** Reads what is new now. Never throws: a failure shows in {@link fresh} and `onHealth`. */
  poll(): Promise<void> {
    if (this.#polling !== undefined) {
      this.#again = true;
      return this.#polling;
    }
    this.#polling = this.#poll().finally(() => {
      this.#polling = undefined;
      if (this.#again) {
        this.#again = false;
        // Hints come from outside: they may make it poll soon, not without pause.
        this.#soon = setTimeout(() => void this.poll(), PAUSE_MS);
      }
    });
    return this.#polling;
  }

  async #poll(): Promise<void> {
    const { log, now, onHealth } = this.#options;
    const started = now();
    try {
      const { number, changes } = await log.since(this.#position);
      if (number < this.#position) {
        // Fails closed: what is cached cannot be told from what the restored database holds.
        throw new Error(`the database went back from change ${this.#position} to ${number}: restart this server`);
      }
      if (changes === 'gap') {
        // Changes that are no longer listed: everything read before is suspect, and carries a lower position.
        this.#tenants.clear();
        this.#floor = number;
        this.#position = number;
      } else {
        for (const change of changes) this.#remember(change.tenantId, change.scopeId, change.number);
        this.#position = number;
      }
      this.#forget(started - this.#options.horizonMs);
      this.#succeeded(started);
    } catch (error) {
      if (this.#healthy) {
        this.#healthy = false;
        onHealth(false, error);
      }
    }
  }

  #succeeded(at: number = this.#options.now()): void {
    this.#polled = at;
    if (!this.#healthy) {
      this.#healthy = true;
      this.#options.onHealth(true, undefined);
    }
  }

  #remember(tenantId: string, scopeId: string, number: number): void {
    let scopes = this.#tenants.get(tenantId);
    if (scopes === undefined) this.#tenants.set(tenantId, (scopes = new Map()));
    scopes.set(scopeId, { number, heard: this.#options.now() });
  }

  #forget(before: number): void {
    for (const [tenantId, scopes] of this.#tenants) {
      for (const [scopeId, { number, heard }] of scopes) {
        if (heard >= before) continue;
        scopes.delete(scopeId);
        this.#floor = Math.max(this.#floor, number);
      }
      if (scopes.size === 0) this.#tenants.delete(tenantId);
    }
  }
}
