import { HierarchyError } from './errors.ts';
import type { ChangeEntry } from './ports.ts';

// spec/audit-chain.md §2, in bytes of UTF-8.
const BOUNDS = [
  ['tenantId', 1, 128],
  ['action', 1, 128],
  ['actorId', 0, 256],
  ['details', 0, 16_384],
] as const;

const encoder = new TextEncoder();

/**
 * For implementations of `KeyStore`, before they write: an entry that verifiers refuse would spoil a log for ever.
 *
 * @throws HierarchyError `CHANGE_ENTRY_INVALID`, naming the field.
 */
export function checkChangeEntry(entry: ChangeEntry): void {
  for (const [field, least, most] of BOUNDS) {
    const text = entry[field];
    // PostgreSQL's text holds no NUL.
    if (!text.isWellFormed() || text.includes('\0')) throw invalid(field, 'well-formed text without NUL');
    const { length } = encoder.encode(text);
    if (length < least || length > most) throw invalid(field, `${least} to ${most} bytes`);
  }
  if (!Number.isSafeInteger(entry.timestampUs)) throw invalid('timestampUs', 'an integer');
  if (![0, 32].includes(entry.requestJwtHash.length)) throw invalid('requestJwtHash', '32 bytes or none');
}

function invalid(field: string, rule: string): HierarchyError {
  return new HierarchyError('CHANGE_ENTRY_INVALID', `${field} of an audit entry must be ${rule}`);
}
