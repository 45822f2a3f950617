import { HashInput } from './hash-input.ts';

// Overwritten by each call, and read before the next can begin.
const input = new HashInput();

/** One entry of a tenant's log, as it is hashed and exported. */
export interface AuditEntry {
  /** 1 for the first of a log, one more for each after it. */
  readonly seq: bigint;
  /** Microseconds since 1970, by the clock of the server that wrote the entry. */
  readonly timestampUs: bigint;
  readonly action: string;
  /** Opaque; `''` when there is none. */
  readonly actorId: string;
  /** The exact text that is hashed. */
  readonly details: string;
  readonly tenantId: string;
  /** SHA-256 of the bearer token, or no bytes when there was none. */
  readonly requestJwtHash: Uint8Array;
  /** `entryHash` of the entry before; 32 zero bytes for the first. */
  readonly previousHash: Uint8Array;
  readonly entryHash: Uint8Array;
}

/**
 * The hash of an entry (spec/audit-chain.md §2), 32 bytes.
 *
 * @throws AuditError `ENTRY_INVALID` for a field outside its bounds.
 */
export function entryHash(entry: Omit<AuditEntry, 'entryHash'>): Uint8Array {
  input.put(entry);
  return Uint8Array.from(input.hash());
}

/** Internal: throws what {@link entryHash} throws. */
export function checkEntry(entry: AuditEntry): void {
  input.put(entry);
}
