import { status } from '@grpc/grpc-js';
import { uuidFromBytes } from '@minikms/crypto-core';
import type { Keyring } from '@minikms/key-hierarchy';
import {
  type BatchDecryptRequest,
  type BatchDecryptResponse,
  type BatchEncryptRequest,
  type BatchEncryptResponse,
  DecryptResponse,
  EncryptResponse,
  type ItemError,
} from '@minikms/protocol';
import { ServerError } from '../errors.ts';
import { failureOf } from '../rpc/status.ts';
import type { Context } from '../rpc/unary.ts';
import { checkItemSize, type Limits, textBytes } from './limits.ts';
import { open, readBlob, seal, verifyPlain, verifySealed } from './kms.ts';

/** Seals every item, in order. Items may get different key versions when a budget ends within the batch. */
export async function batchEncrypt(
  keyring: Keyring,
  limits: Limits,
  request: BatchEncryptRequest,
  context: Context,
): Promise<BatchEncryptResponse> {
  const { items, ciphertextEncoding, perItemResults } = request;
  const results: EncryptResponse[] = [];
  // What is wrong with an item shows before any key is used.
  const checked = items.map((item, i) => {
    try {
      checkItemSize(i, 'plaintext', item.plaintext.length, limits.plaintextBytes);
      checkItemSize(i, 'aad', textBytes(item.aad), limits.aadBytes);
      return verifyPlain(item);
    } catch (error) {
      return itemError(error, perItemResults);
    }
  });
  let left = checked.reduce((count, verified) => count + ('code' in verified ? 0 : 1), 0);
  let granted = 0;
  let encryptor = left > 0 ? keyring.encryptor(request, left, context.event) : undefined;
  for (const [i, item] of items.entries()) {
    const verified = checked[i];
    if (verified === undefined) throw new RangeError('an item without a result');
    if ('code' in verified) {
      results.push({ ...EncryptResponse.create(), error: verified, reference: item.reference });
      continue;
    }
    if (granted === 0) {
      encryptor ??= keyring.encryptor(request, left, context.event);
      if (encryptor instanceof Promise) {
        encryptor = await encryptor;
        context.stopIfCancelled();
      }
      granted = encryptor.granted;
    }
    if (encryptor === undefined || encryptor instanceof Promise) throw new RangeError('an item without a key');
    const result = seal(encryptor, item, ciphertextEncoding, verified);
    result.reference = item.reference;
    results.push(result);
    left--;
    if (--granted === 0) encryptor = undefined;
  }
  return { items: results };
}

/** Opens every item, in order. */
export async function batchDecrypt(
  keyring: Keyring,
  limits: Limits,
  request: BatchDecryptRequest,
  context: Context,
): Promise<BatchDecryptResponse> {
  const results: DecryptResponse[] = [];
  const seen = new Set<string>();
  try {
    for (const [i, item] of request.items.entries()) {
      let result: DecryptResponse;
      try {
        checkItemSize(i, 'aad', textBytes(item.aad), limits.aadBytes);
        const verified = verifySealed(item);
        const { blob, keyVersionId } = readBlob(item.ciphertext, 'key_version_id', item.keyVersionId);
        // Each may be a trip to the database.
        if (seen.add(uuidFromBytes(keyVersionId)).size > KEY_VERSIONS) throw tooManyKeyVersions();
        let key = keyring.decryptor(request, keyVersionId);
        if (key instanceof Promise) {
          key = await key;
          context.stopIfCancelled();
        }
        result = open(key, blob, item, verified);
      } catch (error) {
        if (seen.size > KEY_VERSIONS) throw error;
        result = { ...DecryptResponse.create(), error: itemError(error, request.perItemResults) };
      }
      result.reference = item.reference;
      results.push(result);
    }
  } catch (error) {
    for (const { plaintext } of results) plaintext.fill(0);
    throw error;
  }
  return { items: results };
}

const KEY_VERSIONS = 100;

function tooManyKeyVersions(): ServerError {
  return new ServerError('LIMIT_EXCEEDED', `the batch names more than ${KEY_VERSIONS} key versions: split it`);
}

// Errors of the caller's making; what else goes wrong is not one item's fault.
const ITEM_STATUSES: ReadonlySet<status> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.FAILED_PRECONDITION,
]);

function itemError(error: unknown, perItemResults: boolean): ItemError {
  const failure = failureOf(error);
  if (!perItemResults || !ITEM_STATUSES.has(failure.status)) throw error;
  return { code: failure.code, message: failure.message, grpcStatus: failure.status };
}
