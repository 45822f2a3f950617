import { equal } from '@minikms/crypto-core';
import type { AuditEntry } from '../entry.ts';
import type { Batch, EntryFilter, Head, NewEntry, Outcome, StoredCheckpoint, StoredNode } from '../ports.ts';
import { batchOf, EMPTY, follow, headAfter } from './opened.ts';

/** One log of a store in memory, with its tree. */
export class MemoryLog {
  entries: AuditEntry[] = [];
  epoch = 1;
  checkpoint: StoredCheckpoint | undefined;
  /** The largest size of this epoch that an interval reported. */
  #reported: { readonly epoch: number; readonly size: number } | undefined;
  readonly #nodes = new Map<string, Uint8Array>();
  /** Settled when nobody holds it. */
  #turn: Promise<void> = Promise.resolve();
  #holders = 0;

  get head(): Head {
    return { seq: this.entries.length, hash: this.entries.at(-1)?.entryHash ?? EMPTY.hash, epoch: this.epoch };
  }

  /** Waits until it is free, and holds it until the function it gives is called. */
  async hold(): Promise<() => void> {
    const before = this.#turn;
    let release = (): void => {};
    this.#turn = new Promise((resolve) => {
      release = resolve;
    });
    this.#holders += 1;
    await before;
    return () => {
      this.#holders -= 1;
      release();
    };
  }

  append({ after, entries, hashes }: Batch): Outcome {
    const { head } = this;
    if (this.#holders > 0) return 'busy';
    if (head.seq !== after.seq || !equal(head.hash, after.hash)) return head;
    this.entries.push(...follow(head, entries).map((entry, i) => ({ ...entry, entryHash: hashes[i]! })));
    return true;
  }

  appendAnyway(entries: readonly NewEntry[]): { readonly first: number; readonly head: Head } {
    const batch = batchOf(this.head, entries);
    this.entries.push(...follow(batch.after, entries));
    return { first: batch.after.seq + 1, head: headAfter(batch) };
  }

  find({ action, actorId, fromUs = -Infinity, beforeUs = Infinity, beforeSeq = Infinity }: EntryFilter): AuditEntry[] {
    const matches = (entry: AuditEntry): boolean =>
      (action === undefined || entry.action === action) &&
      (actorId === undefined || entry.actorId === actorId) &&
      entry.timestampUs >= fromUs &&
      entry.timestampUs < beforeUs &&
      entry.seq < beforeSeq;
    return this.entries.filter(matches).toReversed();
  }

  nodes(level: number, from: number, to: number): Uint8Array[] {
    const indexes = Array.from({ length: to - from + 1 }, (_, i) => from + i);
    return indexes.flatMap((index) => this.#nodes.get(`${level}/${index}`) ?? []);
  }

  saveCheckpoint(checkpoint: StoredCheckpoint, nodes: readonly StoredNode[], reported: boolean): boolean {
    const { checkpoint: old } = this;
    if (old !== undefined && old.epoch > checkpoint.epoch) return false;
    if (old?.epoch === checkpoint.epoch) {
      const { size } = checkpoint;
      if (old.size > size || (old.size === size && !equal(old.root, checkpoint.root))) return false;
    }
    this.checkpoint = checkpoint;
    if (reported) this.#reported = checkpoint;
    for (const { level, index, hash } of nodes) {
      const name = `${level}/${index}`;
      if (!this.#nodes.has(name)) this.#nodes.set(name, hash);
    }
    return true;
  }

  rollBack(size: number, epoch: number): void {
    this.entries = this.entries.slice(0, size);
    this.epoch = epoch;
    if ((this.checkpoint?.size ?? 0) > size) this.checkpoint = undefined;
    if ((this.#reported?.size ?? 0) > size) this.#reported = undefined;
  }

  /** Larger than what was reported; a checkpoint of an epoch before says nothing about this one. */
  get grown(): boolean {
    const reported = this.#reported;
    return this.entries.length > (reported?.epoch === this.epoch ? reported.size : 0);
  }
}
