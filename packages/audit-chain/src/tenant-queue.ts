import type { Batch, Head, NewEntry, Position, Subject } from './ports.ts';

/** An entry whose caller waits until it is on disk. */
export interface Waiting {
  readonly entry: NewEntry;
  readonly subjects: readonly Subject[];
  readonly bytes: number;
  /** By the clock of the appender, in milliseconds. */
  readonly queuedAt: number;
  readonly resolve: (position: Position) => void;
  readonly reject: (error: unknown) => void;
  settled: boolean;
}

/** A call that may have appended these entries after a head, or may still. */
export interface Doubt {
  readonly taken: readonly Waiting[];
  readonly batch: Batch;
}

/** What waits and is on its way, of all tenants. */
export interface Load {
  entries: number;
  bytes: number;
}

/** The entries that wait for one log, and what is known of it. */
export class TenantQueue {
  readonly tenantId: string;
  /** The end of the log, as far as it is known. */
  head: Head | undefined;
  /** Where the log ended when somebody else of this process wrote to it, while nothing more is known of it. */
  learned: Head | undefined;
  /** Where the log could end while nothing is known of it; good for one batch. */
  guess: Head | undefined;
  /** Others write this log too: each append has to wait for its turn. */
  contended = false;
  /** So many of the next entries are appended one by one, because one of them is refused. */
  alone = 0;
  /** It is in a lane, or on its way. */
  busy = false;
  /** What waits and is on its way. */
  readonly load: Load = { entries: 0, bytes: 0 };
  readonly #total: Load;
  /**
   * All that have no answer, oldest first: those that wait, and those on their way; before `#firstOpen` there is nothing.
   * Not a Set: one of which entries come and go is copied again and again, and V8 lets each copy keep the next alive.
   */
  #open: (Waiting | undefined)[] = [];
  #firstOpen = 0;
  #waiting: Waiting[] = [];
  #doubt: Doubt | undefined;

  constructor(tenantId: string, total: Load) {
    this.tenantId = tenantId;
    this.#total = total;
  }

  get idle(): boolean {
    return this.#waiting.length === 0 && this.#doubt === undefined;
  }

  get doubt(): Doubt | undefined {
    return this.#doubt;
  }

  /** There is nothing to find out for entries that all have an answer. */
  set doubt(doubt: Doubt | undefined) {
    this.#doubt = doubt?.taken.every(({ settled }) => settled) ? undefined : doubt;
  }

  push(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#open.push(waiting);
    for (const load of [this.load, this.#total]) {
      load.entries += 1;
      load.bytes += waiting.bytes;
    }
  }

  /** The next entries, at most so many, and so many bytes unless the first alone has more. */
  take(most: number, mostBytes: number): readonly Waiting[] {
    const limit = this.alone > 0 ? 1 : most;
    let count = 0;
    let bytes = 0;
    for (const waiting of this.#waiting) {
      bytes += waiting.bytes;
      if (count === limit || (count > 0 && bytes > mostBytes)) break;
      count += 1;
    }
    this.alone = Math.max(0, this.alone - count);
    return this.#waiting.splice(0, count);
  }

  /** Those that have an answer by now are let go. */
  giveBack(taken: readonly Waiting[]): void {
    this.#waiting = [...taken, ...this.#waiting].filter(({ settled }) => !settled);
  }

  /** They stand in the log from this seq on. */
  resolve(taken: readonly Waiting[], first: number): void {
    for (const [i, waiting] of taken.entries()) {
      if (this.#settle(waiting)) waiting.resolve({ tenantId: this.tenantId, seq: first + i });
    }
  }

  reject(taken: Iterable<Waiting>, error: unknown): void {
    for (const waiting of taken) if (this.#settle(waiting)) waiting.reject(error);
  }

  /** Rejects all that is not on its way. */
  rejectWaiting(error: () => unknown): void {
    const waiting = [...(this.#doubt?.taken ?? []), ...this.#waiting];
    if (waiting.length > 0) this.reject(waiting, error());
    this.#forget();
  }

  /** Rejects what was queued before this time, on its way or not: that may stand in the log all the same. */
  expire(before: number, error: () => unknown): void {
    const late: Waiting[] = [];
    for (let i = this.#firstOpen; i < this.#open.length; i += 1) {
      const waiting = this.#open[i]!;
      if (waiting.queuedAt >= before) break;
      if (!waiting.settled) late.push(waiting);
    }
    if (late.length === 0) return;
    this.reject(late, error());
    this.#forget();
  }

  #forget(): void {
    this.giveBack([]);
    this.doubt = this.#doubt;
  }

  #closeOldest(): void {
    while (this.#open[this.#firstOpen]?.settled === true) {
      this.#open[this.#firstOpen] = undefined;
      this.#firstOpen += 1;
    }
    if (this.#firstOpen < 1024 || this.#firstOpen * 2 < this.#open.length) return;
    this.#open = this.#open.slice(this.#firstOpen);
    this.#firstOpen = 0;
  }

  #settle(waiting: Waiting): boolean {
    if (waiting.settled) return false;
    waiting.settled = true;
    this.#closeOldest();
    for (const load of [this.load, this.#total]) {
      load.entries -= 1;
      load.bytes -= waiting.bytes;
    }
    return true;
  }
}

/** The subjects that go with these entries, each once. */
export function subjectsOf(parts: Iterable<{ readonly taken: readonly Waiting[] }>): readonly Subject[] {
  const found = new Map<string, Subject>();
  for (const { taken } of parts) {
    for (const { subjects } of taken) for (const subject of subjects) found.set(subject.id, subject);
  }
  return [...found.values()];
}
