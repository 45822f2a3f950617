import type { Server, UntypedServiceImplementation } from '@grpc/grpc-js';
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
import { type Method, type Unary, unary } from './unary.ts';
import { encodeResponse, type FieldBounds } from './wire.ts';

export interface Services {
  readonly keyring: Keyring;
  readonly limits: Limits;
}

type Definition = Readonly<
  Record<string, { requestDeserialize(bytes: Buffer): unknown; responseDeserialize(bytes: Buffer): unknown }>
>;

/** A row for every RPC of a service: one that is missing does not compile. */
type Table<D extends Definition> = {
  readonly [M in keyof D]: Method<ReturnType<D[M]['requestDeserialize']>, ReturnType<D[M]['responseDeserialize']>>;
};

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

// A message has each of its few fields once; a client may send some twice (protobuf.dev, "last one wins"), not many.
const SINGLE: FieldBounds = { fields: 1024, message: 'the request has more than 1024 fields' };
const OTHER_FIELDS = 64;
const FIELDS_OF_ITEM = 16;

function batchFields(items: number, bytes: number, what: string): FieldBounds {
  return {
    fields: items + OTHER_FIELDS,
    repeated: { number: 3, fields: (items + OTHER_FIELDS) * FIELDS_OF_ITEM },
    message: `the batch has too many items: at most ${items} items and ${bytes} bytes of ${what} and aad are allowed`,
  };
}

function kmsMethods({ keyring, limits }: Services): Table<typeof proto.KMSServiceService> {
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
    },
    createDataKey: {
      ...scoped,
      request: proto.CreateDataKeyRequest,
      encode: (response) => encodeResponse(proto.CreateDataKeyResponse, response),
      permissions: ['kms:manage'],
      action: 'kms.key.create',
      validate: checkScope,
      run: (request) => createDataKey(keyring, request),
    },
    rotateDataKey: {
      ...scoped,
      request: proto.RotateDataKeyRequest,
      encode: (response) => encodeResponse(proto.RotateDataKeyResponse, response),
      permissions: ['kms:manage'],
      action: 'kms.key.rotate',
      validate: checkScope,
      run: (request) => rotateDataKey(keyring, request),
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
    },
    getKeyInfo: {
      ...scoped,
      request: proto.GetKeyInfoRequest,
      encode: (response) => encodeResponse(proto.GetKeyInfoResponse, response),
      permissions: ['kms:manage'],
      action: 'kms.key.info',
      validate: checkScope,
      run: (request) => getKeyInfo(keyring, request),
    },
  };
}

/** Adds every service to a gRPC server, each method behind {@link unary}. */
export function addServices(server: Server, services: Services, wrapper: Unary): void {
  add(server, proto.KMSServiceService, kmsMethods(services), wrapper);
}

function add<D extends Definition>(server: Server, definition: D, table: Table<D>, wrapper: Unary): void {
  const methods: Record<string, object> = {};
  const handlers: UntypedServiceImplementation = {};
  const bytes = (value: Buffer): Buffer => value;
  for (const name of Object.keys(definition)) {
    // Messages are decoded inside unary(), where a malformed one is the caller's error, after the caller is known.
    methods[name] = { ...definition[name], requestDeserialize: bytes, responseSerialize: bytes };
    handlers[name] = unary(table[name as keyof D] as Method<unknown, unknown>, wrapper);
  }
  server.addService(methods as Parameters<Server['addService']>[0], handlers);
}
