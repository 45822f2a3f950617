import { randomUUID } from 'node:crypto';
import {
  AeadKey,
  aeadOpenBlob,
  aeadSealBlob,
  domainSeparated,
  equal,
  SecretBytes,
  uint64,
  uuidToBytes,
} from '@minikms/crypto-core';
import { purposeKey, type Root } from './derive.ts';
import { HierarchyError } from './errors.ts';
import type { NewKeyVersion, Scope } from './ports.ts';

type Bound = Pick<NewKeyVersion, 'tenantId' | 'scopeId' | 'id' | 'version' | 'rootKeyId'>;

// spec/key-hierarchy.md §5: what a wrapped key is bound to; a row moved to another place does not open.
function wrapAad(row: Bound): Uint8Array {
  return domainSeparated(
    'minikms/key-version/v1',
    row.tenantId,
    row.scopeId,
    uuidToBytes(row.id),
    uint64(row.version),
    row.rootKeyId,
  );
}

/**
 * Makes a key version: a random 256-bit data encryption key, wrapped with AES-256-GCM under the tenant's `dek-wrap` key.
 */
export function newKeyVersion(root: Root, scope: Scope, version: number, maxEncryptions: number): NewKeyVersion {
  const bound = {
    tenantId: scope.tenantId,
    scopeId: scope.scopeId,
    id: randomUUID(),
    version,
    rootKeyId: root.check.rootKeyId,
  };
  using dek = SecretBytes.random('dek', 32);
  return {
    ...bound,
    wrappedDek: wrapDek(root, bound, dek),
    saltId: root.check.saltId,
    tenantKeyGeneration: 0,
    maxEncryptions,
  };
}

/** nonce (12) ‖ ciphertext (32) ‖ tag (16): the DEK under the tenant's `dek-wrap` key of generation 0. */
export function wrapDek(root: Root, row: Bound, dek: SecretBytes<'dek'>): Uint8Array {
  using wrapping = purposeKey(root, row.tenantId, 0, 'dek-wrap');
  const key = AeadKey.from(wrapping);
  try {
    return dek.expose((bytes) => aeadSealBlob(key, bytes, wrapAad(row)));
  } finally {
    key.destroy();
  }
}

/**
 * Opens a stored key version.
 *
 * @throws HierarchyError `ROOT_KEY_MISMATCH`, `SALT_MISMATCH` when the row names another root key or salt;
 *   `KEY_UNWRAP_FAILED` when it does not authenticate.
 */
export function unwrapDek(root: Root, row: NewKeyVersion): SecretBytes<'dek'> {
  if (!equal(row.rootKeyId, root.check.rootKeyId)) {
    throw new HierarchyError('ROOT_KEY_MISMATCH', `key version ${row.id} is wrapped under another root key`);
  }
  if (!equal(row.saltId, root.check.saltId)) {
    throw new HierarchyError('SALT_MISMATCH', `key version ${row.id} is wrapped under another HKDF salt`);
  }
  using wrapping = purposeKey(root, row.tenantId, row.tenantKeyGeneration, 'dek-wrap');
  const key = AeadKey.from(wrapping);
  try {
    return SecretBytes.take('dek', aeadOpenBlob(key, row.wrappedDek, wrapAad(row)));
  } catch (cause) {
    throw new HierarchyError('KEY_UNWRAP_FAILED', `key version ${row.id} does not open: its row was changed`, {
      cause,
    });
  } finally {
    key.destroy();
  }
}
