/**
 * What can be wrong with a log. Stable: branch on these.
 *
 * - `LINE_MALFORMED`, `LINE_TOO_LONG`: a line of the export is neither an entry nor a checkpoint.
 * - `GENESIS_MISSING`: the log does not begin with entry 1.
 * - `SEQ_GAP`: an entry is missing. `SEQ_REPEATED`: an entry stands where a later one should.
 * - `TENANT_CHANGED`: an entry of another tenant.
 * - `LINK_BROKEN`: an entry does not follow from the one before it.
 * - `HASH_MISMATCH`: an entry was changed after it was hashed.
 * - `CHECKPOINT_MALFORMED`, `CHECKPOINT_UNSIGNED`, `CHECKPOINT_SIGNATURE_INVALID`: not a checkpoint, not by a key that
 *   was given, or changed after it was signed.
 * - `CHECKPOINT_ORIGIN`: a checkpoint of another log, or of another tenant's.
 * - `CHECKPOINT_LATE`: a checkpoint of an export stands behind entries that it does not cover.
 * - `CHECKPOINT_EXCESS`: more checkpoints than are kept in memory.
 * - `LOG_TRUNCATED`: a checkpoint covers entries that are not there.
 * - `ROOT_MISMATCH`: the entries are not those that a checkpoint covers.
 * - `LOG_FORKED`: two checkpoints of one size have different roots.
 */
export type FaultCode =
  | 'CHECKPOINT_EXCESS'
  | 'CHECKPOINT_LATE'
  | 'CHECKPOINT_MALFORMED'
  | 'CHECKPOINT_ORIGIN'
  | 'CHECKPOINT_SIGNATURE_INVALID'
  | 'CHECKPOINT_UNSIGNED'
  | 'GENESIS_MISSING'
  | 'HASH_MISMATCH'
  | 'LINE_MALFORMED'
  | 'LINE_TOO_LONG'
  | 'LINK_BROKEN'
  | 'LOG_FORKED'
  | 'LOG_TRUNCATED'
  | 'ROOT_MISMATCH'
  | 'SEQ_GAP'
  | 'SEQ_REPEATED'
  | 'TENANT_CHANGED';

export interface Fault {
  readonly code: FaultCode;
  /** A sentence for people; holds nothing of an entry but numbers. */
  readonly message: string;
  /** The first and the last entry that may be the bad one, by seq; absent when no entry is. */
  readonly first?: number;
  readonly last?: number;
  /** The line of the export, from 1. */
  readonly line?: number;
}

/** A fault of one entry. */
export function entryFault(code: FaultCode, seq: number, message: string): Fault {
  return { code, message, first: seq, last: seq };
}
