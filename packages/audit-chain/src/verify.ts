import { MAX_LINE } from './bounds.ts';
import { ChainVerifier } from './chain.ts';
import type { AuditEntry } from './entry.ts';
import type { Fault } from './fault.ts';
import { LineScanner } from './line-scanner.ts';
import { explainLine, parseCheckpointLine } from './line.ts';
import { LineSplitter } from './lines.ts';
import type { NodeSink } from './merkle.ts';
import type { VerifierKey } from './note.ts';
import { type MatchedCheckpoint, TreeCheck } from './tree-check.ts';

/** What is wrong with so many checkpoints need not be read to its end. */
const MAX_FAULTS = 100;

export interface VerifyOptions {
  /** Of the log. Without any, no signature is checked and nothing is proven. */
  readonly keys?: readonly VerifierKey[];
  /** Signed notes kept from earlier, or got elsewhere, of any size. */
  readonly checkpoints?: readonly string[];
  /** After each chunk of the input. */
  readonly onProgress?: (done: { readonly entries: number; readonly bytes: number }) => void;
  /** For each good entry, in order; `entry` makes it, and works during the call only. */
  readonly onEntry?: (seq: number, entry: () => AuditEntry) => void;
  /** For each checkpoint whose root the entries give, at the moment that the tree has its size. */
  readonly onMatch?: (checkpoint: MatchedCheckpoint) => void;
  /** For each node of the tree. */
  readonly sink?: NodeSink;
}

/**
 * - `good`: every entry is whole and linked, every checkpoint fits, and at least one is signed by a key that was given.
 * - `bad`: see `faults`.
 * - `unproven`: nothing is wrong, but there was no signed checkpoint to compare with, or no key to check it by.
 */
export type Verdict = 'bad' | 'good' | 'unproven';

export interface ExportReport {
  readonly verdict: Verdict;
  /** The first is the one to begin with. */
  readonly faults: readonly Fault[];
  /** How many entries are whole and linked, from the first. */
  readonly entries: number;
  /** Entries 1 to this are what a signed checkpoint says; those after it could still have been replaced or cut off. */
  readonly covered: number;
  readonly tenantId?: string;
  readonly origin?: string;
  /** Of the tree of these entries. */
  readonly root: Uint8Array;
}

/**
 * Checks an export (spec/audit-chain.md §6) of any length, in constant memory: every field of every entry, every link,
 * and the tree against each checkpoint in the export and of `checkpoints`. Stops at the first entry that is bad.
 * Throws only what reading the source throws.
 */
export async function verifyExport(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: VerifyOptions = {},
): Promise<ExportReport> {
  const verifier = new ExportVerifier(options);
  let bytes = 0;
  for await (const chunk of source) {
    const goOn = verifier.push(chunk);
    bytes += chunk.length;
    options.onProgress?.({ entries: verifier.entries, bytes });
    if (!goOn) break;
  }
  return verifier.report();
}

class ExportVerifier {
  readonly #options: VerifyOptions;
  readonly #chain = new ChainVerifier();
  readonly #tree: TreeCheck;
  readonly #scanner = new LineScanner();
  readonly #splitter = new LineSplitter((bytes, at, stop) => this.#line(bytes, at, stop));
  #lines = 0;
  #fault: Fault | undefined;
  #gaveUp = false;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#tree = new TreeCheck({ keys: options.keys ?? [], onMatch: options.onMatch, sink: options.sink });
    for (const note of options.checkpoints ?? []) this.#tree.expect(note);
  }

  get entries(): number {
    return this.#chain.size;
  }

  push(chunk: Uint8Array): boolean {
    return this.#splitter.push(chunk);
  }

  report(): ExportReport {
    if (this.#fault === undefined && !this.#gaveUp) this.#splitter.end();
    if (this.#fault === undefined && !this.#gaveUp) this.#tree.finish(this.#chain.tenantId);
    const faults = [...(this.#fault === undefined ? [] : [this.#fault]), ...this.#tree.faults];
    const { tenantId } = this.#chain;
    const { covered, origin, root } = this.#tree;
    // A checkpoint of the empty log says nothing about a log that is not.
    const proven = covered !== undefined && (covered > 0 || this.#chain.size === 0);
    return {
      verdict: faults.length > 0 ? 'bad' : proven ? 'good' : 'unproven',
      faults,
      entries: this.#chain.size,
      covered: covered ?? 0,
      ...(tenantId === undefined ? {} : { tenantId }),
      ...(origin === undefined ? {} : { origin }),
      root,
    };
  }

  #line(bytes: Uint8Array, at: number, stop: number): boolean {
    this.#lines += 1;
    if (stop - at <= MAX_LINE && this.#scanner.scan(bytes, at, stop)) {
      const { input } = this.#scanner;
      const fault = this.#chain.addInput(input);
      if (fault !== undefined) return this.#stop(fault);
      this.#options.onEntry?.(input.seq, () => input.entry());
      this.#tree.append(input.entryHash);
      return true;
    }
    const line = bytes.subarray(at, stop);
    const note = line.length > MAX_LINE ? undefined : parseCheckpointLine(line);
    if (note !== undefined) {
      this.#tree.expect(note, this.#lines);
      this.#gaveUp = this.#tree.faults.length >= MAX_FAULTS;
      return !this.#gaveUp;
    }
    const code = line.length > MAX_LINE ? 'LINE_TOO_LONG' : 'LINE_MALFORMED';
    const seq = this.#chain.size + 1;
    const message = `line ${this.#lines}, where entry ${seq} should be, is not an audit entry: ${explainLine(line)}`;
    return this.#stop({ code, message, first: seq, last: seq });
  }

  #stop(fault: Fault): boolean {
    this.#fault = { ...fault, line: this.#lines };
    return false;
  }
}
