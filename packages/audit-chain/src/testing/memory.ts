import { equal, KmsError } from '@minikms/crypto-core';
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
import { batchOf, EMPTY, follow, headAfter } from './opened.ts';

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

interface Log {
  entries: AuditEntry[];
  epoch: number;
  checkpoint: StoredCheckpoint | undefined;
  readonly nodes: Map<string, Uint8Array>;
  /** Settled when nobody writes it. */
  turn: Promise<void>;
  writers: number;
}

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
  readonly #logs = new Map<string, Log>();
  #due = 0;

  append(batches: readonly Batch[], subjects: readonly Subject[]): Promise<readonly Outcome[]> {
    const tenantIds = batches.map(({ tenantId }) => tenantId);
    return this.#call('append', tenantIds, () => {
      this.#keep(subjects);
      return batches.map((batch) => {
        const log = this.#log(batch.tenantId);
        const head = headOf(log);
        if (log.writers > 0) return 'busy';
        if (head.seq !== batch.after.seq || !equal(head.hash, batch.after.hash)) return head;
        log.entries.push(...follow(head, batch.entries).map((one, i) => ({ ...one, entryHash: batch.hashes[i]! })));
        return true;
      });
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
      const log = this.#log(tenantId);
      const batch = batchOf(headOf(log), entries);
      this.#keep(subjects);
      log.entries.push(...follow(batch.after, entries));
      await release();
      return { first: batch.after.seq + 1, head: headAfter(batch) };
    });
  }

  /** As somebody does who writes a log: waits until it is free, and holds it until the function it gives is called. */
  async hold(tenantId: string): Promise<() => Promise<void>> {
    const log = this.#log(tenantId);
    const before = log.turn;
    let release = (): void => {};
    log.turn = new Promise((resolve) => {
      release = resolve;
    });
    log.writers += 1;
    await before;
    return async () => {
      log.writers -= 1;
      release();
    };
  }

  head(tenantId: string): Promise<Head | undefined> {
    return this.#call('head', [tenantId], () => {
      const log = this.#logs.get(tenantId);
      return log === undefined || log.entries.length === 0 ? undefined : headOf(log);
    });
  }

  entriesAfter(tenantId: string, seq: number, limit: number): Promise<readonly AuditEntry[]> {
    return this.#call('entriesAfter', [tenantId], () => this.#log(tenantId).entries.slice(seq, seq + limit));
  }

  findEntries(tenantId: string, filter: EntryFilter, limit: number, offset: number): Promise<readonly AuditEntry[]> {
    const { action, actorId, fromUs = -Infinity, beforeUs = Infinity, beforeSeq = Infinity } = filter;
    return this.#call('findEntries', [tenantId], () =>
      this.#log(tenantId)
        .entries.filter(
          (entry) =>
            (action === undefined || entry.action === action) &&
            (actorId === undefined || entry.actorId === actorId) &&
            entry.timestampUs >= fromUs &&
            entry.timestampUs < beforeUs &&
            entry.seq < beforeSeq,
        )
        .toReversed()
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
    return this.#call('nodes', [tenantId], () => {
      const { nodes } = this.#log(tenantId);
      const indexes = Array.from({ length: to - from + 1 }, (_, i) => from + i);
      return indexes.flatMap((index) => nodes.get(`${level}/${index}`) ?? []);
    });
  }

  checkpoint(tenantId: string): Promise<StoredCheckpoint | undefined> {
    return this.#call('checkpoint', [tenantId], () => this.#log(tenantId).checkpoint);
  }

  saveCheckpoint(checkpoint: StoredCheckpoint, nodes: readonly StoredNode[]): Promise<boolean> {
    return this.#call('saveCheckpoint', [checkpoint.tenantId], () => {
      const log = this.#log(checkpoint.tenantId);
      const { checkpoint: old } = log;
      if (old !== undefined && old.epoch > checkpoint.epoch) return false;
      if (old?.epoch === checkpoint.epoch) {
        const { size } = checkpoint;
        if (old.size > size || (old.size === size && !equal(old.root, checkpoint.root))) return false;
      }
      log.checkpoint = checkpoint;
      for (const { level, index, hash } of nodes) {
        const name = `${level}/${index}`;
        if (!log.nodes.has(name)) log.nodes.set(name, hash);
      }
      return true;
    });
  }

  grown(after: string, limit: number): Promise<readonly GrownLog[]> {
    return this.#call('grown', [], () =>
      [...this.#logs]
        .map(([tenantId, log]) => ({ tenantId, head: headOf(log), checkpoint: log.checkpoint }))
        .filter(({ tenantId }) => byBytes(tenantId, after) > 0)
        // A checkpoint of an epoch before says nothing about this one.
        .filter(({ head, checkpoint }) => head.seq > (checkpoint?.epoch === head.epoch ? checkpoint.size : 0))
        .toSorted((a, b) => byBytes(a.tenantId, b.tenantId))
        .slice(0, limit)
        .map(({ tenantId, head }) => ({ tenantId, head })),
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
        log.entries.push(...follow(headOf(log), [entry]));
        log.epoch = epoch;
      }
      await release();
      return opens ? headOf(log) : undefined;
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
    const log = this.#log(tenantId);
    log.entries = log.entries.slice(0, size);
    log.epoch = epoch;
    if (log.checkpoint !== undefined && log.checkpoint.size > size) log.checkpoint = undefined;
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

  #log(tenantId: string): Log {
    let log = this.#logs.get(tenantId);
    if (log === undefined) {
      log = { entries: [], epoch: 1, checkpoint: undefined, nodes: new Map(), turn: Promise.resolve(), writers: 0 };
      this.#logs.set(tenantId, log);
    }
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

function headOf({ entries, epoch }: Log): Head {
  return { seq: entries.length, hash: entries.at(-1)?.entryHash ?? EMPTY.hash, epoch };
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
