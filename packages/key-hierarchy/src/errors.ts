import { KmsError } from '@minikms/crypto-core';

/**
 * - `CHANGE_ENTRY_INVALID`: the audit entry of a change is outside its bounds; the change did not happen.
 * - `ID_INVALID`: a tenant, scope or key version id breaks the rule that the message states.
 * - `KEY_NOT_FOUND`: the tenant has no such scope, or the scope has no key version yet.
 * - `KEY_UNWRAP_FAILED`: a stored key version or server key does not open under the root key: its row was changed or is
 *   damaged.
 * - `ROOT_KEY_INVALID`, `SALT_INVALID`: not usable as a root key (32 bytes) or as an HKDF salt.
 * - `ROOT_KEY_MISMATCH`, `SALT_MISMATCH`: not the root key or salt that this database was started with.
 * - `ROOT_KEY_UNRECORDED`: the database holds wrapped keys but no check value of the root key.
 * - `ROTATION_CONFLICT`: other rotations of the same scope kept coming first.
 * - `SERVER_KEY_MISSING`: there is no server key for that purpose, and no name was given to make one under.
 * - `SERVER_KEY_NAME_MISMATCH`: the stored server key was made under another name than the one configured.
 */
export type HierarchyErrorCode =
  | 'CHANGE_ENTRY_INVALID'
  | 'ID_INVALID'
  | 'KEY_NOT_FOUND'
  | 'KEY_UNWRAP_FAILED'
  | 'ROOT_KEY_INVALID'
  | 'ROOT_KEY_MISMATCH'
  | 'ROOT_KEY_UNRECORDED'
  | 'ROTATION_CONFLICT'
  | 'SALT_INVALID'
  | 'SALT_MISMATCH'
  | 'SERVER_KEY_MISSING'
  | 'SERVER_KEY_NAME_MISMATCH';

export class HierarchyError extends KmsError<HierarchyErrorCode> {}

/** The one answer to a scope that is not there, whether another tenant has one of that name or not. */
export function noKey(): HierarchyError {
  return new HierarchyError('KEY_NOT_FOUND', 'this tenant has no such scope, or the scope has no key yet');
}
