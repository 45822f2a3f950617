import { equal } from '@minikms/crypto-core';
import { type Checkpoint, openCheckpoint, parseCheckpoint, parseOrigin } from './checkpoint.ts';
import { AuditError } from './errors.ts';
import type { Fault, FaultCode } from './fault.ts';
import { leafHash, type NodeSink, TreeFrontier } from './merkle.ts';
import { parseNote, type VerifierKey } from './note.ts';

/** How many checkpoints wait for the log to reach their size. */
const MAX_WAITING = 10_000;

/** A checkpoint that the entries gave the root of. */
export interface MatchedCheckpoint extends Checkpoint {
  readonly note: string;
  /** By one of the keys; `false` when no keys were given. */
  readonly signed: boolean;
}

export interface TreeCheckOptions {
  readonly keys: readonly VerifierKey[];
  readonly onMatch?: ((checkpoint: MatchedCheckpoint) => void) | undefined;
  readonly sink?: NodeSink | undefined;
}

type Waiting = MatchedCheckpoint & { readonly line: number | undefined };

const CODES: Readonly<Record<string, FaultCode>> = {
  NOTE_UNSIGNED: 'CHECKPOINT_UNSIGNED',
  NOTE_SIGNATURE_INVALID: 'CHECKPOINT_SIGNATURE_INVALID',
};

/** The tree of a log, compared with each checkpoint when it has its size. */
export class TreeCheck {
  readonly faults: Fault[] = [];
  readonly #options: TreeCheckOptions;
  readonly #tree: TreeFrontier;
  /** By size, no smaller than the tree's. */
  readonly #waiting = new Map<number, Waiting[]>();
  #count = 0;
  #origin: string | undefined;
  #covered: number | undefined;
  #matched = 0;

  constructor(options: TreeCheckOptions) {
    this.#options = options;
    this.#tree = new TreeFrontier(options.sink);
  }

  get root(): Uint8Array {
    return this.#tree.root();
  }

  get origin(): string | undefined {
    return this.#origin;
  }

  /** The largest size of which a signed checkpoint has the same root. */
  get covered(): number | undefined {
    return this.#covered;
  }

  append(entryHash: Uint8Array): void {
    this.#tree.append(leafHash(entryHash));
    if (this.#count === 0) return;
    const { size } = this.#tree;
    for (const checkpoint of this.#waiting.get(size) ?? []) this.#compare(checkpoint);
    // What comes for this size later may still make a fork; what was for the size before is done.
    this.#forget(size - 1);
  }

  /** A checkpoint that was kept, or that stands at a line of the export. */
  expect(note: string, line?: number): void {
    const checkpoint = this.#open(note, line);
    if (checkpoint === undefined) return;
    const { origin, size } = checkpoint;
    this.#origin ??= origin;
    if (origin !== this.#origin) {
      this.#fault('CHECKPOINT_ORIGIN', `${where(line)} is of another log than the other checkpoints`, line);
    } else if (size < this.#tree.size) {
      this.#fault(
        'CHECKPOINT_LATE',
        `${where(line)} covers ${size} entries, and stands after ${this.#tree.size}`,
        line,
      );
    } else if (this.#count >= MAX_WAITING) {
      this.#fault('CHECKPOINT_EXCESS', `there are more than ${MAX_WAITING} checkpoints`, line);
    } else {
      this.#wait(checkpoint);
    }
  }

  #wait(checkpoint: Waiting): void {
    const { size, root, line } = checkpoint;
    const others = this.#waiting.get(size) ?? [];
    // The same again says nothing new, and a third that contradicts no more than the second.
    if (others.length > 1 || others.some((other) => equal(other.root, root))) return;
    if (others.length === 1) {
      // Two signatures that contradict each other accuse the log whatever its entries are: this comes first.
      const message = `two checkpoints of ${size} entries contradict each other: the log was forked`;
      this.faults.unshift({ ...located(line), code: 'LOG_FORKED', message });
    }
    this.#waiting.set(size, [...others, checkpoint]);
    this.#count += 1;
    if (size === this.#tree.size) this.#compare(checkpoint);
  }

  /** At the end of the log. */
  finish(tenantId: string | undefined): void {
    const { size } = this.#tree;
    for (const checkpoint of [...this.#waiting.values()].flat()) {
      if (checkpoint.size <= size) continue;
      const message = `${where(checkpoint.line)} covers ${checkpoint.size} entries, and there are ${size}: entries were cut off the end`;
      this.faults.push({
        ...located(checkpoint.line),
        code: 'LOG_TRUNCATED',
        message,
        first: size + 1,
        last: checkpoint.size,
      });
    }
    if (this.#origin === undefined || tenantId === undefined) return;
    if (parseOrigin(this.#origin).tenantId !== tenantId) {
      this.#fault('CHECKPOINT_ORIGIN', 'the checkpoints are of another tenant than the entries');
    }
  }

  #open(note: string, line: number | undefined): Waiting | undefined {
    try {
      const { keys } = this.#options;
      const signed = keys.length > 0;
      const checkpoint = signed ? openCheckpoint(note, keys) : parseCheckpoint(parseNote(note).text);
      parseOrigin(checkpoint.origin);
      return { ...checkpoint, note, signed, line };
    } catch (error) {
      if (!(error instanceof AuditError)) throw error;
      this.#fault(CODES[error.code] ?? 'CHECKPOINT_MALFORMED', `${where(line)}: ${error.message}`, line);
      return undefined;
    }
  }

  #compare(checkpoint: Waiting): void {
    const { size, root, line } = checkpoint;
    if (!equal(root, this.#tree.root())) {
      const first = Math.min(this.#matched + 1, size);
      const message = `${where(line)} of ${size} entries does not fit: an entry from ${first} to ${size} is not the one that was logged`;
      this.faults.push({ ...located(line), code: 'ROOT_MISMATCH', message, first, last: size });
      return;
    }
    this.#matched = size;
    if (checkpoint.signed) this.#covered = size;
    this.#options.onMatch?.(checkpoint);
  }

  #forget(size: number): void {
    this.#count -= this.#waiting.get(size)?.length ?? 0;
    this.#waiting.delete(size);
  }

  #fault(code: FaultCode, message: string, line?: number): void {
    this.faults.push({ ...located(line), code, message });
  }
}

const located = (line: number | undefined): { readonly line?: number } => (line === undefined ? {} : { line });

const where = (line: number | undefined): string =>
  line === undefined ? 'the checkpoint that was given' : `the checkpoint at line ${line}`;
