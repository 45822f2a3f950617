import { readFileSync } from 'node:fs';
import { createFileRegistry, fromBinary, ScalarType } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from 'vitest';

// What clients of the Go service rely on: names, numbers and types of every message below number 100.
const scope = ['1 tenant_id string', '2 scope_id string'];
const MESSAGES: Readonly<Record<string, readonly string[]>> = {
  EncryptRequest: [...scope, '3 plaintext bytes', '4 aad string'],
  EncryptResponse: ['1 ciphertext bytes', '2 key_version_id string'],
  DecryptRequest: [...scope, '3 ciphertext bytes', '4 aad string', '5 key_version_id string'],
  DecryptResponse: ['1 plaintext bytes'],
  BatchEncryptItem: ['1 plaintext bytes', '2 aad string'],
  BatchEncryptRequest: [...scope, '3 items repeated BatchEncryptItem'],
  BatchEncryptResponse: ['1 items repeated EncryptResponse'],
  BatchDecryptItem: ['1 ciphertext bytes', '2 aad string', '3 key_version_id string'],
  BatchDecryptRequest: [...scope, '3 items repeated BatchDecryptItem'],
  BatchDecryptResponse: ['1 items repeated DecryptResponse'],
  CreateDataKeyRequest: scope,
  CreateDataKeyResponse: ['1 key_version_id string', '2 version int32'],
  RotateDataKeyRequest: scope,
  RotateDataKeyResponse: ['1 new_key_version_id string'],
  ReEncryptRequest: [
    ...scope,
    '3 ciphertext bytes',
    '4 source_aad string',
    '5 target_aad string',
    '6 source_key_version_id string',
  ],
  ReEncryptResponse: ['1 ciphertext bytes', '2 key_version_id string'],
  GetKeyInfoRequest: scope,
  GetKeyInfoResponse: [
    '1 key_version_id string',
    '2 version int32',
    '3 encryption_count int64',
    '4 max_encryptions int64',
    '5 status string',
  ],
  AuditEntry: [
    '1 id string',
    '2 previous_hash string',
    '3 entry_hash string',
    '4 timestamp string',
    '5 action string',
    '6 actor_id string',
    '7 org_id string',
    '8 details string',
    '9 request_jwt_hash string',
  ],
  GetAuditLogsRequest: ['1 org_id string', '2 limit int32', '3 offset int32'],
  GetAuditLogsResponse: ['1 entries repeated AuditEntry'],
  VerifyChainRequest: ['1 org_id string'],
  VerifyChainResponse: ['1 valid bool'],
  // New with this server, as a whole.
  ItemError: ['1 code string', '2 message string', '3 grpc_status int32'],
  ExportLogRequest: ['1 org_id string', '2 after_seq uint64'],
  ExportLogResponse: ['1 lines bytes'],
  GetCheckpointRequest: ['1 org_id string'],
  GetCheckpointResponse: ['1 checkpoint string', '2 size uint64', '3 verifier_key string', '4 cosignatures uint32'],
  GetInclusionProofRequest: ['1 org_id string', '2 seq uint64'],
  GetInclusionProofResponse: ['1 hashes repeated bytes', '2 checkpoint string', '3 leaf_hash bytes'],
  GetConsistencyProofRequest: ['1 org_id string', '2 old_size uint64'],
  GetConsistencyProofResponse: ['1 hashes repeated bytes', '2 checkpoint string'],
  GetReceiptRequest: ['1 org_id string', '2 seq uint64'],
  GetReceiptResponse: ['1 receipt string'],
};

const SERVICES: Readonly<Record<string, readonly string[]>> = {
  KMSService: [
    'Encrypt',
    'Decrypt',
    'BatchEncrypt',
    'BatchDecrypt',
    'CreateDataKey',
    'RotateDataKey',
    'ReEncrypt',
    'GetKeyInfo',
  ],
  AuditService: [
    'GetAuditLogs',
    'VerifyChain',
    'ExportLog',
    'GetCheckpoint',
    'GetInclusionProof',
    'GetConsistencyProof',
    'GetReceipt',
  ],
};
const STREAMS = new Set(['ExportLog']);

const set = fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../gen/minikms.binpb', import.meta.url)));
const registry = createFileRegistry(set);

type Field = NonNullable<ReturnType<typeof registry.getMessage>>['fields'][number];

function describeField(field: Field): string {
  if (field.fieldKind === 'map') throw new Error(`${field.name} is a map: they break reflection`);
  const type = field.message?.name ?? field.enum?.name ?? ScalarType[field.scalar ?? 0]?.toLowerCase();
  return `${field.number} ${field.name} ${field.fieldKind === 'list' ? 'repeated ' : ''}${type}`;
}

test.each(Object.entries(MESSAGES))('%s keeps its fields', (name, expected) => {
  const message = registry.getMessage(`minikms.v1.${name}`);
  const inherited = (message?.fields ?? []).filter((field) => field.number < 100);
  expect(inherited.map(describeField)).toEqual(expected);
});

test('no message is left out of the table', () => {
  const found = [...registry].filter((type) => type.kind === 'message' && type.file.name.startsWith('minikms/'));
  expect(found.map((type) => type.name).toSorted()).toEqual(Object.keys(MESSAGES).toSorted());
});

test('inherited fields have no presence: their absence is their default', () => {
  const inherited = Object.keys(MESSAGES).flatMap((name) => registry.getMessage(`minikms.v1.${name}`)?.fields ?? []);
  const present = inherited.filter((field) => field.number < 100 && (field.oneof ?? field.proto.proto3Optional));
  expect(present).toEqual([]);
});

describe.each(Object.entries(SERVICES))('minikms.v1.%s', (name, methods) => {
  const service = registry.getService(`minikms.v1.${name}`);

  test('has these methods', () => {
    expect(service?.methods.map((method) => [method.name, method.methodKind])).toEqual(
      methods.map((method) => [method, STREAMS.has(method) ? 'server_streaming' : 'unary']),
    );
  });

  test.each(methods)('%s takes its request and gives its response', (one) => {
    const method = service?.methods.find((found) => found.name === one);
    expect([method?.input.typeName, method?.output.typeName]).toEqual([
      `minikms.v1.${one}Request`,
      `minikms.v1.${one}Response`,
    ]);
  });
});
