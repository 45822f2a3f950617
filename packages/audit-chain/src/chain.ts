import { HASH_LENGTH } from './bounds.ts';
import type { AuditEntry } from './entry.ts';
import { entryFault, type Fault } from './fault.ts';
import { HashInput, PREVIOUS_AT } from './hash-input.ts';

/**
 * Checks the links of one log, entry by entry from the first, in constant memory (spec/audit-chain.md §3). After a
 * fault it stays at that fault. Timestamps may go back: the servers that write a log have clocks of their own.
 */
export class ChainVerifier {
  readonly #input = new HashInput();
  readonly #head = new Uint8Array(HASH_LENGTH);
  #tenant = new Uint8Array(0);
  #size = 0;
  #fault: Fault | undefined;

  /** How many entries are good. */
  get size(): number {
    return this.#size;
  }

  /** The hash of the last good entry, a copy; zeros when there is none. */
  get head(): Uint8Array {
    return this.#head.slice();
  }

  /** The tenant of the first entry. */
  get tenantId(): string | undefined {
    return this.#size === 0 ? undefined : Buffer.from(this.#tenant).toString('utf8');
  }

  get fault(): Fault | undefined {
    return this.#fault;
  }

  /**
   * The fault of the next entry, or `undefined` when it is good.
   *
   * @throws AuditError `ENTRY_INVALID` for a field outside its bounds.
   */
  add(entry: AuditEntry): Fault | undefined {
    this.#input.put(entry);
    return this.addInput(this.#input);
  }

  /** Internal: the same for an entry that was scanned. */
  addInput(input: HashInput): Fault | undefined {
    this.#fault ??= this.#check(input);
    if (this.#fault !== undefined) return this.#fault;
    if (this.#size === 0) this.#tenant = input.bytes.slice(input.tenantAt, input.tenantEnd);
    this.#size += 1;
    this.#head.set(input.entryHash);
    return undefined;
  }

  #check(input: HashInput): Fault | undefined {
    const seq = this.#size + 1;
    const { bytes } = input;
    if (input.seq !== seq) {
      const found = input.view.getBigUint64(input.tenantEnd + 8);
      if (seq === 1) {
        return entryFault('GENESIS_MISSING', 1, `the log begins with entry ${found}; what came before it is missing`);
      }
      return input.seq > seq
        ? entryFault('SEQ_GAP', seq, `entry ${seq} is missing: entry ${found} stands in its place`)
        : entryFault(
            'SEQ_REPEATED',
            seq,
            `entry ${found} stands where entry ${seq} should: it is there twice, or moved`,
          );
    }
    if (seq > 1 && !same(bytes, input.tenantAt, input.tenantEnd, this.#tenant)) {
      return entryFault('TENANT_CHANGED', seq, `entry ${seq} is of another tenant than the entries before it`);
    }
    if (!same(bytes, PREVIOUS_AT, PREVIOUS_AT + HASH_LENGTH, this.#head)) {
      const message =
        seq === 1
          ? 'entry 1 follows an entry that is not there'
          : `entry ${seq} does not follow from entry ${seq - 1}: one of the two was changed, or replaced`;
      return { code: 'LINK_BROKEN', message, first: Math.max(1, seq - 1), last: seq };
    }
    if (!same(input.hash(), 0, HASH_LENGTH, input.entryHash)) {
      return entryFault('HASH_MISMATCH', seq, `entry ${seq} was changed: its contents do not give its hash`);
    }
    return undefined;
  }
}

function same(bytes: Uint8Array, from: number, to: number, other: Uint8Array): boolean {
  if (to - from !== other.length) return false;
  for (let i = 0; i < other.length; i += 1) if (bytes[from + i] !== other[i]) return false;
  return true;
}
