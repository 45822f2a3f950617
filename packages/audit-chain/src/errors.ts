import { KmsError } from '@minikms/crypto-core';

/**
 * What this package throws. What is wrong with a log that was read is not thrown: it is a `Fault` of a report.
 *
 * - `ENTRY_INVALID`: a field of an entry outside its bounds, or text that has no exact UTF-8.
 * - `LINE_MALFORMED`: not a line of an export.
 * - `KEY_MALFORMED`: not a verifier key of an Ed25519 note signature.
 * - `NOTE_MALFORMED`: not a signed note.
 * - `NOTE_SIGNATURE_INVALID`: a signature that names a known key is not by that key.
 * - `NOTE_UNSIGNED`: no signature of a note is by a known key.
 * - `CHECKPOINT_MALFORMED`: a note whose text is not a checkpoint.
 * - `ORIGIN_INVALID`: not a log name, tenant and epoch.
 * - `TREE_INVALID`: an index or size that no tree has, or nodes that are missing.
 * - `RECEIPT_MALFORMED`: not a receipt.
 * - `RECEIPT_INVALID`: a receipt that does not prove what it says.
 * - `AUDIT_QUEUE_FULL`: too many entries wait to be written, of all tenants or of this one.
 * - `AUDIT_LOG_BEHIND`: the store lost entries that a log had; nothing is appended until a new epoch is opened.
 * - `AUDIT_LOG_FORKED`: the store has other entries, or another tree, than were signed for.
 * - `AUDIT_CLOSED`: the appender was closed.
 * - `ENTRY_NOT_FOUND`: a log has no entry of this number.
 * - `WITNESS_FAILED`: a witness did not cosign.
 * - `WITNESS_POLICY_INVALID`: a policy of witnesses that cannot be met, or a witness that cannot be asked.
 */
export type AuditErrorCode =
  | 'AUDIT_CLOSED'
  | 'AUDIT_LOG_BEHIND'
  | 'AUDIT_LOG_FORKED'
  | 'AUDIT_QUEUE_FULL'
  | 'CHECKPOINT_MALFORMED'
  | 'ENTRY_INVALID'
  | 'ENTRY_NOT_FOUND'
  | 'KEY_MALFORMED'
  | 'LINE_MALFORMED'
  | 'NOTE_MALFORMED'
  | 'NOTE_SIGNATURE_INVALID'
  | 'NOTE_UNSIGNED'
  | 'ORIGIN_INVALID'
  | 'RECEIPT_INVALID'
  | 'RECEIPT_MALFORMED'
  | 'TREE_INVALID'
  | 'WITNESS_FAILED'
  | 'WITNESS_POLICY_INVALID';

/** A {@link KmsError} with one of this package's codes. */
export class AuditError extends KmsError<AuditErrorCode> {}
