import { KmsError } from '@minikms/crypto-core';
import type { AuditEntry } from '../entry.ts';
import type {
  AuditStore,
  Batch,
  EntryFilter,
  GrownLog,
  Head,
  NewEntry,
  Outcome,
  StoredCheckpoint,
  StoredNode,
  Subject,
} from '../ports.ts';
import { MemoryLog } from './memory-log.ts';

/** A call of a method, and the logs that it is about. */
export interface StoreCall {
  readonly method: keyof AuditStore;
  readonly tenantIds: readonly string[];
}

/**
 * What becomes of a call. `lost before` and `lost after` throw `STORE_UNAVAILABLE`, one without and one with the effect;
 * `late` throws it at once and has its effect some turns of the event loop later. An error is thrown as it is.
 */
export type Fate = 'done' | 'lost before' | 'lost after' | 'late' | Error;

/** All that an audit log needs, in memory, for tests; every call takes turns of the event loop, as one to a database does. */
export class MemoryAuditStore implements AuditStore {
  /** Calls made, oldest first. */
  readonly calls: StoreCall[] = [];
  /** Subjects by id. */
  readonly subjects: Map<string, Subject> = new Map();
  /** While true every call throws `STORE_UNAVAILABLE`. */
  down = false;
  /** Decides about each call. */
  fate: (call: StoreCall) => Fate = () => 'done';
  /** Waited for before and after each call takes effect. */
  latency: (call: StoreCall) => Promise<unknown> = turn;
  /** Milliseconds. */
  now: () => number = Date.now;
  readonly #logs = new Map<string, MemoryLog>();
  #due = 0;

  append(batches: readonly Batch[], subjects: readonly Subject[]): Promise<readonly Outcome[]> {
    const tenantIds = batches.map(({ tenantId }) => tenantId);
    return this.#call('append', tenantIds, () => {
      this.#keep(subjects);
      return batches.map((batch) => this.#log(batch.tenantId).append(batch));
    });
  }

  appendInTurn(
    entries: readonly NewEntry[],
    subjects: readonly Subject[],
  ): Promise<{ readonly first: number; readonly head: Head }> {
    const { tenantId } = entries[0]!;
    return this.#call('appendInTurn', [tenantId], async () => {
      const release = await this.hold(tenantId);
      await this.latency({ method: 'appendInTurn', tenantIds: [tenantId] });
      this.#keep(subjects);
      const appended = this.#log(tenantId).appendAnyway(entries);
      await release();
      return appended;
    });
  }

  /** As somebody does who writes a log: waits until it is free, and holds it until the function it gives is called. */
  async hold(tenantId: string): Promise<() => Promise<void>> {
    const release = await this.#log(tenantId).hold();
    return async () => release();
  }

  head(tenantId: string): Promise<Head | undefined> {
    return this.#call('head', [tenantId], () => {
      const log = this.#logs.get(tenantId);
      return log === undefined || log.entries.length === 0 ? undefined : log.head;
    });
  }

  entriesAfter(tenantId: string, seq: number, limit: number): Promise<readonly AuditEntry[]> {
    return this.#call('entriesAfter', [tenantId], () => this.#log(tenantId).entries.slice(seq, seq + limit));
  }

  findEntries(tenantId: string, filter: EntryFilter, limit: number, offset: number): Promise<readonly AuditEntry[]> {
    return this.#call('findEntries', [tenantId], () =>
      this.#log(tenantId)
        .find(filter)
        .slice(offset, offset + limit),
    );
  }

  entryHashes(tenantId: string, from: number, to: number): Promise<readonly Uint8Array[]> {
    return this.#call('entryHashes', [tenantId], () =>
      this.#log(tenantId)
        .entries.slice(from - 1, to)
        .map((entry) => entry.entryHash),
    );
  }

  nodes(tenantId: string, level: number, from: number, to: number): Promise<readonly Uint8Array[]> {
    return this.#call('nodes', [tenantId], () => this.#log(tenantId).nodes(level, from, to));
  }

  checkpoint(tenantId: string): Promise<StoredCheckpoint | undefined> {
    return this.#call('checkpoint', [tenantId], () => this.#log(tenantId).checkpoint);
  }

  saveCheckpoint(
    checkpoint: StoredCheckpoint,
    nodes: readonly StoredNode[],
    reported: boolean = true,
  ): Promise<boolean> {
    return this.#call('saveCheckpoint', [checkpoint.tenantId], () =>
      this.#log(checkpoint.tenantId).saveCheckpoint(checkpoint, nodes, reported),
    );
  }

  grown(after: string, limit: number): Promise<readonly GrownLog[]> {
    return this.#call('grown', [], () =>
      [...this.#logs]
        .filter(([tenantId, log]) => log.grown && byBytes(tenantId, after) > 0)
        .toSorted(([a], [b]) => byBytes(a, b))
        .slice(0, limit)
        .map(([tenantId, { head }]) => ({ tenantId, head })),
    );
  }

  claimInterval(intervalMs: number): Promise<boolean> {
    return this.#call('claimInterval', [], () => {
      const now = this.now();
      if (now < this.#due) return false;
      this.#due = now + intervalMs;
      return true;
    });
  }

  openEpoch(epoch: number, entry: NewEntry): Promise<Head | undefined> {
    return this.#call('openEpoch', [entry.tenantId], async () => {
      const release = await this.hold(entry.tenantId);
      const log = this.#log(entry.tenantId);
      const opens = log.epoch < epoch;
      if (opens) {
        log.appendAnyway([entry]);
        log.epoch = epoch;
      }
      await release();
      return opens ? log.head : undefined;
    });
  }

  find(tenantId: string, id: string): Promise<Subject | undefined> {
    return this.#call('find', [tenantId], () => {
      const found = this.subjects.get(id);
      return found?.tenantId === tenantId ? found : undefined;
    });
  }

  erase(tenantId: string | undefined, label: string): Promise<number> {
    return this.#call('erase', tenantId === undefined ? [] : [tenantId], () => {
      const found = [...this.subjects.values()].filter(
        (one) => one.label === label && (tenantId === undefined || one.tenantId === tenantId),
      );
      for (const { id } of found) this.subjects.delete(id);
      return found.length;
    });
  }

  /** Puts a log back to what it was at this size, as restoring a backup does. */
  rollBack(tenantId: string, size: number, epoch = 1): void {
    this.#log(tenantId).rollBack(size, epoch);
  }

  /** Puts an entry in place of the one with its seq, as somebody with access to the database could. */
  tamper(entry: AuditEntry): void {
    this.#log(entry.tenantId).entries[Number(entry.seq) - 1] = entry;
  }

  async #call<T>(method: keyof AuditStore, tenantIds: readonly string[], work: () => T | Promise<T>): Promise<T> {
    const call = { method, tenantIds };
    this.calls.push(call);
    const fate = this.down ? 'lost before' : this.fate(call);
    await this.latency(call);
    if (fate instanceof Error) throw fate;
    if (fate === 'late') {
      void turn()
        .then(turn)
        .then(() => this.latency(call))
        .then(work);
    }
    if (fate === 'lost before' || fate === 'late') throw unavailable();
    const result = await work();
    await this.latency(call);
    if (fate === 'lost after') throw unavailable();
    return result;
  }

  #log(tenantId: string): MemoryLog {
    const log = this.#logs.get(tenantId) ?? new MemoryLog();
    this.#logs.set(tenantId, log);
    return log;
  }

  #keep(subjects: readonly Subject[]): void {
    for (const subject of subjects) if (!this.subjects.has(subject.id)) this.subjects.set(subject.id, subject);
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function unavailable(): KmsError {
  return new KmsError('STORE_UNAVAILABLE', 'the store is down');
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
