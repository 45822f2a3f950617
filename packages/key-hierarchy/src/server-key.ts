import { AeadKey, aeadOpenBlob, aeadSealBlob, domainSeparated, equal, SecretBytes } from '@minikms/crypto-core';
import { type Root, serverKey } from './derive.ts';
import { HierarchyError } from './errors.ts';
import type { ServerKeyRow, ServerKeyStore } from './ports.ts';

/** What keys of the server are for, and the kind of secret that each is. Each has one use. */
export interface ServerKeyKinds {
  /** Ed25519: signs the checkpoints of the audit logs. */
  readonly 'audit-checkpoint': 'signing-seed';
}

export type ServerKeyPurpose = keyof ServerKeyKinds;

const KINDS: ServerKeyKinds = { 'audit-checkpoint': 'signing-seed' };

export interface ServerKeyOptions<P extends ServerKeyPurpose> {
  readonly root: Root;
  readonly store: ServerKeyStore;
  readonly purpose: P;
  /** The name to make the key under, which a stored one must have; without it a stored key is taken whatever its name. */
  readonly name?: string | undefined;
  /** The public half of a secret of 32 bytes, which stays the caller's. */
  readonly publicKeyOf: (secret: SecretBytes<ServerKeyKinds[P]>) => Uint8Array;
}

export interface ServerKey<P extends ServerKeyPurpose> {
  readonly name: string;
  readonly publicKey: Uint8Array;
  /** 32 bytes, the caller's to destroy. */
  readonly secret: SecretBytes<ServerKeyKinds[P]>;
}

type Bound = Pick<ServerKeyRow, 'purpose' | 'name' | 'publicKey' | 'rootKeyId'>;

/**
 * A key of the server itself: 32 random bytes, stored wrapped, the same on every replica. Makes it when there is none;
 * one winner when several servers do. To be called after `verifyRoot`.
 *
 * @throws HierarchyError `SERVER_KEY_MISSING` when there is none and no name; `SERVER_KEY_NAME_MISMATCH` when the stored
 *   one has another name; `ROOT_KEY_MISMATCH`; `KEY_UNWRAP_FAILED` when its row does not authenticate, or its public key
 *   is not that of the secret.
 */
export async function openServerKey<P extends ServerKeyPurpose>(options: ServerKeyOptions<P>): Promise<ServerKey<P>> {
  const { store, purpose, name } = options;
  // What counts is what is stored, also by the one who stores.
  const row = (await store.load(purpose)) ?? (await store.create(newServerKey(options)));
  const secret = unwrap(options, row);
  try {
    if (!equal(options.publicKeyOf(secret), row.publicKey)) {
      throw new HierarchyError('KEY_UNWRAP_FAILED', `the public key of the ${purpose} key is not that of its secret`);
    }
    if (name !== undefined && row.name !== name) {
      throw new HierarchyError(
        'SERVER_KEY_NAME_MISMATCH',
        `the ${purpose} key of this database has the name ${JSON.stringify(row.name)}, not ${JSON.stringify(name)}`,
      );
    }
  } catch (error) {
    secret.destroy();
    throw error;
  }
  return { name: row.name, publicKey: row.publicKey, secret };
}

// spec/key-hierarchy.md §8: what a wrapped server key is bound to.
function wrapAad(row: Bound): Uint8Array {
  return domainSeparated('minikms/server-key/v1', row.purpose, row.name, row.publicKey, row.rootKeyId);
}

function newServerKey<P extends ServerKeyPurpose>(options: ServerKeyOptions<P>): ServerKeyRow {
  const { root, purpose, name, publicKeyOf } = options;
  if (name === undefined) {
    throw new HierarchyError('SERVER_KEY_MISSING', `there is no ${purpose} key yet, and no name to make one under`);
  }
  using secret = SecretBytes.random(KINDS[purpose], 32);
  const bound = { purpose, name, publicKey: publicKeyOf(secret), rootKeyId: root.check.rootKeyId };
  const wrappedKey = wrapping(root, (key) => secret.expose((bytes) => aeadSealBlob(key, bytes, wrapAad(bound))));
  return { ...bound, wrappedKey, saltId: root.check.saltId };
}

function unwrap<P extends ServerKeyPurpose>(
  { root, purpose }: ServerKeyOptions<P>,
  row: ServerKeyRow,
): SecretBytes<ServerKeyKinds[P]> {
  if (!equal(row.rootKeyId, root.check.rootKeyId)) {
    throw new HierarchyError('ROOT_KEY_MISMATCH', `the ${purpose} key is wrapped under another root key`);
  }
  try {
    // The purpose asked for, whatever the row says: one that was put in the place of another does not open.
    const aad = wrapAad({ ...row, purpose });
    return wrapping(root, (key) => SecretBytes.take(KINDS[purpose], aeadOpenBlob(key, row.wrappedKey, aad)));
  } catch (cause) {
    throw new HierarchyError('KEY_UNWRAP_FAILED', `the ${purpose} key does not open: its row was changed`, { cause });
  }
}

function wrapping<T>(root: Root, use: (key: AeadKey) => T): T {
  using secret = serverKey(root, 'server-key-wrap');
  const key = AeadKey.from(secret);
  try {
    return use(key);
  } finally {
    key.destroy();
  }
}
