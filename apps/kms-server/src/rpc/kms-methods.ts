import { uuidFromBytes } from '@minikms/crypto-core';
import { checkId, checkKeyVersionId, type Keyring } from '@minikms/key-hierarchy';
import * as proto from '@minikms/protocol';
import { batchDecrypt, batchEncrypt } from '../services/kms-batch.ts';
import { createDataKey, decrypt, encrypt, getKeyInfo, reEncrypt, rotateDataKey } from '../services/kms.ts';
import { checkBatch, checkSize, ciphertextBytes, type Limits, textBytes } from '../services/limits.ts';
import { checkEncoding } from './ciphertext.ts';
import {
  encodeBatchDecryptResponse,
  encodeBatchEncryptResponse,
  encodeDecryptResponse,
  encodeEncryptResponse,
} from './encode.ts';
import { SINGLE, type Table } from './methods.ts';
import { encodeResponse, type FieldBounds } from './wire.ts';

export interface KmsServices {
  readonly keyring: Keyring;
  readonly limits: Limits;
}

interface Scoped {
  readonly tenantId: string;
  readonly scopeId: string;
}

const tenant = (request: Scoped): string => request.tenantId;
const scope = (request: Scoped): string => request.scopeId;

function checkScope(request: Scoped): void {
  checkId('tenant_id', request.tenantId);
  checkId('scope_id', request.scopeId);
}

const OTHER_FIELDS = 64;
const FIELDS_OF_ITEM = 16;

function batchFields(items: number, bytes: number, what: string): FieldBounds {
  return {
    fields: items + OTHER_FIELDS,
    repeated: { number: 3, fields: (items + OTHER_FIELDS) * FIELDS_OF_ITEM },
    message: `the batch has too many items: at most ${items} items and ${bytes} bytes of ${what} and aad are allowed`,
  };
}

/** A fact: the key version that was used, if it is known. */
function version(id: string | Uint8Array | undefined, name = 'key_version'): string {
  return id === undefined ? '' : `,"${name}":"${typeof id === 'string' ? id : uuidFromBytes(id)}"`;
}

function batchFacts<Item>(
  what: string,
  items: readonly Item[],
  bytes: (item: Item) => Uint8Array,
  results: readonly { readonly error: unknown }[] | undefined,
): string {
  const size = items.reduce((sum, item) => sum + bytes(item).length, 0);
  const failed = results?.reduce((sum, { error }) => sum + (error === undefined ? 0 : 1), 0);
  return `,"items":${items.length}${failed === undefined ? '' : `,"failed":${failed}`},"${what}_bytes":${size}`;
}

export function kmsMethods({ keyring, limits }: KmsServices): Table<typeof proto.KMSServiceService> {
  const scoped = { tenant, scope, bounds: SINGLE };
  const checkCiphertext = (ciphertext: Uint8Array): void =>
    checkSize('ciphertext', ciphertext.length, ciphertextBytes(limits.plaintextBytes));
  const checkAad = (field: string, aad: string): void => checkSize(field, textBytes(aad), limits.aadBytes);
  return {
    encrypt: {
      ...scoped,
      request: proto.EncryptRequest,
      encode: encodeEncryptResponse,
      permissions: ['kms:encrypt'],
      action: 'kms.encrypt',
      validate(request) {
        checkScope(request);
        checkSize('plaintext', request.plaintext.length, limits.plaintextBytes);
        checkAad('aad', request.aad);
        checkEncoding(request.ciphertextEncoding);
      },
      run: (request, context) => encrypt(keyring, request, context),
      facts: ({ aad, plaintext }, response) =>
        `${version(response?.keyVersionId)},"plaintext_bytes":${plaintext.length},"aad_bytes":${textBytes(aad)}`,
    },
    decrypt: {
      ...scoped,
      request: proto.DecryptRequest,
      encode(response) {
        const bytes = encodeDecryptResponse(response);
        response.plaintext.fill(0);
        return bytes;
      },
      permissions: ['kms:decrypt'],
      action: 'kms.decrypt',
      validate(request) {
        checkScope(request);
        checkCiphertext(request.ciphertext);
        checkAad('aad', request.aad);
        if (request.keyVersionId !== '') checkKeyVersionId('key_version_id', request.keyVersionId);
      },
      run: (request, context) => decrypt(keyring, request, context),
      facts: ({ aad, ciphertext }, _, { keyVersionId }) =>
        `${version(keyVersionId)},"ciphertext_bytes":${ciphertext.length},"aad_bytes":${textBytes(aad)}`,
    },
    batchEncrypt: {
      ...scoped,
      request: proto.BatchEncryptRequest,
      encode: encodeBatchEncryptResponse,
      permissions: ['kms:encrypt'],
      action: 'kms.batch_encrypt',
      bounds: batchFields(limits.batchItems, limits.batchBytes, 'plaintext'),
      validate(request) {
        checkScope(request);
        checkEncoding(request.ciphertextEncoding);
        const bounds = { items: limits.batchItems, bytes: limits.batchBytes };
        checkBatch(request.items, 'plaintext', (item) => item.plaintext.length, bounds);
      },
      run: (request, context) => batchEncrypt(keyring, limits, request, context),
      facts: ({ items }, response) => batchFacts('plaintext', items, (item) => item.plaintext, response?.items),
    },
    batchDecrypt: {
      ...scoped,
      request: proto.BatchDecryptRequest,
      encode(response) {
        const bytes = encodeBatchDecryptResponse(response);
        for (const { plaintext } of response.items) plaintext.fill(0);
        return bytes;
      },
      permissions: ['kms:decrypt'],
      action: 'kms.batch_decrypt',
      bounds: batchFields(limits.batchItems, limits.batchCiphertextBytes, 'ciphertext'),
      validate(request) {
        checkScope(request);
        const bounds = { items: limits.batchItems, bytes: limits.batchCiphertextBytes };
        checkBatch(request.items, 'ciphertext', (item) => item.ciphertext.length, bounds);
      },
      run: (request, context) => batchDecrypt(keyring, limits, request, context),
      facts: ({ items }, response) => batchFacts('ciphertext', items, (item) => item.ciphertext, response?.items),
    },
    createDataKey: {
      ...scoped,
      request: proto.CreateDataKeyRequest,
      encode: (response) => encodeResponse(proto.CreateDataKeyResponse, response),
      permissions: ['kms:manage'],
      action: 'kms.key.create',
      validate: checkScope,
      run: (request, context) => createDataKey(keyring, request, context),
      facts: (_, response) => (response === undefined ? '' : `${version(response.keyVersionId)},"existed":true`),
    },
    rotateDataKey: {
      ...scoped,
      request: proto.RotateDataKeyRequest,
      encode: (response) => encodeResponse(proto.RotateDataKeyResponse, response),
      permissions: ['kms:manage'],
      action: 'kms.key.rotate',
      validate: checkScope,
      run: (request, context) => rotateDataKey(keyring, request, context),
      facts: (_, response) => version(response?.newKeyVersionId),
    },
    reEncrypt: {
      ...scoped,
      request: proto.ReEncryptRequest,
      encode: (response) => encodeResponse(proto.ReEncryptResponse, response),
      permissions: ['kms:decrypt', 'kms:encrypt'],
      action: 'kms.reencrypt',
      validate(request) {
        checkScope(request);
        checkCiphertext(request.ciphertext);
        checkAad('source_aad', request.sourceAad);
        checkAad('target_aad', request.targetAad);
        checkEncoding(request.ciphertextEncoding);
        if (request.sourceKeyVersionId !== '') checkKeyVersionId('source_key_version_id', request.sourceKeyVersionId);
      },
      run: (request, context) => reEncrypt(keyring, request, context),
      facts: ({ ciphertext }, response, { keyVersionId }) =>
        `${version(response?.keyVersionId)}${version(keyVersionId, 'source_key_version')},"ciphertext_bytes":${ciphertext.length}`,
    },
    getKeyInfo: {
      ...scoped,
      request: proto.GetKeyInfoRequest,
      encode: (response) => encodeResponse(proto.GetKeyInfoResponse, response),
      permissions: ['kms:manage'],
      action: 'kms.key.info',
      validate: checkScope,
      run: (request) => getKeyInfo(keyring, request),
      facts: (_, response) => version(response?.keyVersionId),
    },
  };
}
