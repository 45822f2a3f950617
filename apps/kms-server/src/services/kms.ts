import { parseSealed, type SealingKey, uuidFromBytes } from '@minikms/crypto-core';
import { checkKeyVersionId, type Encryptor, type Keyring } from '@minikms/key-hierarchy';
import {
  type CiphertextEncoding,
  type CreateDataKeyRequest,
  type CreateDataKeyResponse,
  type DecryptRequest,
  type DecryptResponse,
  type EncryptRequest,
  type EncryptResponse,
  type GetKeyInfoRequest,
  type GetKeyInfoResponse,
  type ReEncryptRequest,
  type ReEncryptResponse,
  type RotateDataKeyRequest,
  type RotateDataKeyResponse,
} from '@minikms/protocol';
import { ServerError } from '../errors.ts';
import { checksum, verifyChecksum } from '../rpc/checksum.ts';
import { readCiphertext, writeCiphertext } from '../rpc/ciphertext.ts';
import type { Context } from '../rpc/unary.ts';

type PlainChecksums = Pick<EncryptRequest, 'plaintext' | 'aad' | 'plaintextCrc32c' | 'aadCrc32c'>;
type SealedChecksums = Pick<DecryptRequest, 'ciphertext' | 'aad' | 'ciphertextCrc32c' | 'aadCrc32c'>;
type SealInput = Pick<EncryptRequest, 'plaintext' | 'aad'>;

/** The single-item RPCs of KMSService; requests have been validated. Each is synchronous while its key is warm. */
export function encrypt(
  keyring: Keyring,
  request: EncryptRequest,
  context: Context,
): EncryptResponse | Promise<EncryptResponse> {
  const verified = verifyPlain(request);
  const encryptor = keyring.encryptor(request, 1, context.event);
  if (!(encryptor instanceof Promise)) return seal(encryptor, request, request.ciphertextEncoding, verified);
  return encryptor.then((loaded) => {
    context.stopIfCancelled();
    return seal(loaded, request, request.ciphertextEncoding, verified);
  });
}

export function decrypt(
  keyring: Keyring,
  request: DecryptRequest,
  context: Context,
): DecryptResponse | Promise<DecryptResponse> {
  const verified = verifySealed(request);
  const { blob, keyVersionId } = readBlob(request.ciphertext, 'key_version_id', request.keyVersionId);
  context.event.keyVersionId = keyVersionId;
  const key = keyring.decryptor(request, keyVersionId);
  if (!(key instanceof Promise)) return open(key, blob, request, verified);
  return key.then((loaded) => {
    context.stopIfCancelled();
    return open(loaded, blob, request, verified);
  });
}

export async function reEncrypt(
  keyring: Keyring,
  request: ReEncryptRequest,
  context: Context,
): Promise<ReEncryptResponse> {
  const { ciphertext, sourceAad, targetAad, ciphertextEncoding } = request;
  const verifiedCiphertextCrc32c = verifyChecksum('ciphertext', ciphertext, request.ciphertextCrc32c);
  const verifiedSourceAadCrc32c = verifyChecksum('source_aad', sourceAad, request.sourceAadCrc32c);
  const verifiedTargetAadCrc32c = verifyChecksum('target_aad', targetAad, request.targetAadCrc32c);
  const { blob, keyVersionId } = readBlob(ciphertext, 'source_key_version_id', request.sourceKeyVersionId);
  context.event.keyVersionId = keyVersionId;
  const key = await keyring.decryptor(request, keyVersionId);
  context.stopIfCancelled();
  const plaintext = key.open(blob, sourceAad);
  try {
    const encryptor = await keyring.encryptor(request, 1, context.event);
    context.stopIfCancelled();
    const sealed = writeCiphertext(encryptor.key.seal(plaintext, targetAad), ciphertextEncoding);
    const asked = verifiedCiphertextCrc32c || verifiedSourceAadCrc32c || verifiedTargetAadCrc32c;
    return {
      ciphertext: sealed,
      keyVersionId: encryptor.keyVersionId,
      ciphertextCrc32c: asked ? checksum(sealed) : undefined,
      verifiedCiphertextCrc32c,
      verifiedSourceAadCrc32c,
      verifiedTargetAadCrc32c,
    };
  } finally {
    plaintext.fill(0);
  }
}

export async function createDataKey(
  keyring: Keyring,
  request: CreateDataKeyRequest,
  { event }: Context,
): Promise<CreateDataKeyResponse> {
  const { keyVersionId, version, written } = await keyring.create(request, event);
  event.position = written;
  return { keyVersionId, version };
}

export async function rotateDataKey(
  keyring: Keyring,
  request: RotateDataKeyRequest,
  { event }: Context,
): Promise<RotateDataKeyResponse> {
  const { id, written } = await keyring.rotate(request, event);
  event.position = written;
  return { newKeyVersionId: id };
}

export async function getKeyInfo(keyring: Keyring, request: GetKeyInfoRequest): Promise<GetKeyInfoResponse> {
  const { keyVersionId, version, status, encryptions, maxEncryptions } = await keyring.info(request);
  return {
    keyVersionId,
    version,
    status,
    encryptionCount: BigInt(encryptions),
    maxEncryptions: BigInt(maxEncryptions),
  };
}

/** Which of the checksums that can come with an item were there and agreed. */
export interface Verified {
  readonly payload: boolean;
  readonly aad: boolean;
}

const UNVERIFIED: Verified = Object.freeze({ payload: false, aad: false });

/** @throws ServerError `CHECKSUM_MISMATCH` */
export function verifyPlain(item: PlainChecksums): Verified {
  if (item.plaintextCrc32c === undefined && item.aadCrc32c === undefined) return UNVERIFIED;
  return {
    payload: verifyChecksum('plaintext', item.plaintext, item.plaintextCrc32c),
    aad: verifyChecksum('aad', item.aad, item.aadCrc32c),
  };
}

/** @throws ServerError `CHECKSUM_MISMATCH` */
export function verifySealed(item: SealedChecksums): Verified {
  if (item.ciphertextCrc32c === undefined && item.aadCrc32c === undefined) return UNVERIFIED;
  return {
    payload: verifyChecksum('ciphertext', item.ciphertext, item.ciphertextCrc32c),
    aad: verifyChecksum('aad', item.aad, item.aadCrc32c),
  };
}

/**
 * The blob of a ciphertext field and the key version that it names.
 *
 * @throws CryptoError `CIPHERTEXT_MALFORMED`; ServerError `KEY_VERSION_MISMATCH` when `expected` is another.
 */
export function readBlob(
  ciphertext: Uint8Array,
  field: string,
  expected: string,
): { readonly blob: Uint8Array; readonly keyVersionId: Uint8Array } {
  const blob = readCiphertext(ciphertext);
  const { keyVersionId } = parseSealed(blob);
  if (expected !== '' && uuidFromBytes(keyVersionId) !== checkKeyVersionId(field, expected)) {
    throw new ServerError(
      'KEY_VERSION_MISMATCH',
      `the ciphertext was made with another key version than ${field} says`,
    );
  }
  return { blob, keyVersionId };
}

export function seal(
  encryptor: Encryptor,
  item: SealInput,
  encoding: CiphertextEncoding,
  verified: Verified,
): EncryptResponse {
  const ciphertext = writeCiphertext(encryptor.key.seal(item.plaintext, item.aad), encoding);
  return {
    ciphertext,
    keyVersionId: encryptor.keyVersionId,
    ciphertextCrc32c: verified.payload || verified.aad ? checksum(ciphertext) : undefined,
    verifiedPlaintextCrc32c: verified.payload,
    verifiedAadCrc32c: verified.aad,
    error: undefined,
    reference: '',
  };
}

/** @throws CryptoError `CIPHERTEXT_INVALID` */
export function open(
  key: SealingKey,
  blob: Uint8Array,
  item: { readonly aad: string },
  verified: Verified,
): DecryptResponse {
  const plaintext = key.open(blob, item.aad);
  return {
    plaintext,
    plaintextCrc32c: verified.payload || verified.aad ? checksum(plaintext) : undefined,
    verifiedCiphertextCrc32c: verified.payload,
    verifiedAadCrc32c: verified.aad,
    error: undefined,
    reference: '',
  };
}
