export { DEFAULT_MAX_ENCRYPTIONS, LARGEST_MAX_ENCRYPTIONS } from './budget.ts';
export { checkChangeEntry } from './change-entry.ts';
export { DEFAULT_HKDF_SALT, openRoot, serverKey } from './derive.ts';
export type { Purpose, Root, ServerPurpose } from './derive.ts';
export { HierarchyError } from './errors.ts';
export type { HierarchyErrorCode } from './errors.ts';
export { checkId, checkKeyVersionId, ID_RULE } from './ids.ts';
export type { KeyChange, Rotation } from './key-change.ts';
export { Keyring } from './keyring.ts';
export type { AutoRotation, Encryptor, KeyInfo, KeyringOptions } from './keyring.ts';
export type {
  ByteCache,
  ChangeClock,
  ChangeEntry,
  Creation,
  KeyStatus,
  KeyStore,
  KeyVersionRow,
  Lease,
  NewKeyVersion,
  RootCheck,
  RootKeyRegistry,
  Scope,
  ServerKeyRow,
  ServerKeyStore,
  Succession,
  VersionUses,
  Written,
} from './ports.ts';
export { verifyRoot } from './root-check.ts';
export { RowCache } from './row-cache.ts';
export { openServerKey } from './server-key.ts';
export type { ServerKey, ServerKeyKinds, ServerKeyOptions, ServerKeyPurpose } from './server-key.ts';
