import { concat, hkdf, hkdfExpand, SecretBytes, uint32, utf8 } from '@minikms/crypto-core';
import { HierarchyError } from './errors.ts';
import type { RootCheck } from './ports.ts';

/** The salt of the Go service, used unless configured otherwise. */
export const DEFAULT_HKDF_SALT = 'envsync-minikms-v1';

/** Derivation purposes below a tenant master key; each gives an independent key. */
export type Purpose = 'dek-wrap';

/** Derivation purposes of the server's own keys. */
export type ServerPurpose = 'row-cache-mac' | 'server-key-wrap';

const NUL = Uint8Array.of(0);
// spec/key-hierarchy.md §4: configured salts hold no NUL, so this salt is never one of them, not even after the zero
// padding of HMAC keys.
const SERVER_SALT = concat(NUL, utf8('minikms/server/v1'));
// spec/key-hierarchy.md §4: tenant ids never start with NUL, so this is no tenant's master key.
const SALT_ID_INFO = concat(NUL, utf8('minikms/salt-id/v1'));

/** A root key with its salt, and the check values that identify both. */
export interface Root {
  readonly secret: SecretBytes<'root-key'>;
  readonly salt: Uint8Array;
  readonly check: RootCheck;
}

/**
 * Prepares a root key for use; takes over `secret`.
 *
 * @param secret 32 bytes.
 * @param salt text without NUL, as UTF-8.
 * @throws HierarchyError `ROOT_KEY_INVALID`, `SALT_INVALID`
 */
export function openRoot(secret: SecretBytes<'root-key'>, salt: string): Root {
  if (secret.length !== 32) {
    throw new HierarchyError('ROOT_KEY_INVALID', `the root key must be 32 bytes, not ${secret.length}`);
  }
  // HMAC pads keys with zeros, so that "x" and "x\0" would be one salt.
  if (salt.includes('\0') || !salt.isWellFormed()) {
    throw new HierarchyError('SALT_INVALID', 'the HKDF salt must be well-formed text and not hold a NUL character');
  }
  const saltBytes = utf8(salt);
  const check = secret.expose((key) => ({
    rootKeyId: hkdf(key, SERVER_SALT, utf8('root-key-id'), 16),
    saltId: hkdf(key, saltBytes, SALT_ID_INFO, 16),
  }));
  return { secret, salt: saltBytes, check };
}

/**
 * The tenant master key: HKDF-SHA256(root key, salt, info = tenant id), 32 bytes (spec/key-hierarchy.md §2). Only ever
 * the input of {@link purposeKey}.
 *
 * @param generation 0 for the derivation of the Go service; g ≥ 1 appends 0x00 ‖ uint32 g to the info.
 */
export function tenantMasterKey(root: Root, tenantId: string, generation: number): SecretBytes<'tenant-master-key'> {
  const info = generation === 0 ? utf8(tenantId) : concat(utf8(tenantId), NUL, uint32(generation));
  return root.secret.expose((key) => SecretBytes.take('tenant-master-key', hkdf(key, root.salt, info, 32)));
}

/** HKDF-Expand(tenant master key, "minikms/v1/" ‖ purpose), 32 bytes (RFC 5869 §2.3, spec/key-hierarchy.md §3). */
export function purposeKey<P extends Purpose>(
  root: Root,
  tenantId: string,
  generation: number,
  purpose: P,
): SecretBytes<P> {
  using master = tenantMasterKey(root, tenantId, generation);
  return master.expose((prk) => SecretBytes.take(purpose, hkdfExpand(prk, utf8(`minikms/v1/${purpose}`), 32)));
}

/** A key of the server itself, the same on every replica: 32 bytes (spec/key-hierarchy.md §4). */
export function serverKey<P extends ServerPurpose>(root: Root, purpose: P): SecretBytes<P> {
  return root.secret.expose((key) => SecretBytes.take(purpose, hkdf(key, SERVER_SALT, utf8(purpose), 32)));
}
