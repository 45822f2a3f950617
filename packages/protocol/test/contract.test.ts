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
  // New with this server, as a whole.
  ItemError: ['1 code string', '2 message string', '3 grpc_status int32'],
};

const METHODS = [
  'Encrypt',
  'Decrypt',
  'BatchEncrypt',
  'BatchDecrypt',
  'CreateDataKey',
  'RotateDataKey',
  'ReEncrypt',
  'GetKeyInfo',
];

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

test('no message of KMSService is left out of the table', () => {
  const found = [...registry].filter((type) => type.kind === 'message' && type.file.name === 'minikms/v1/kms');
  expect(found.map((type) => type.name).toSorted()).toEqual(Object.keys(MESSAGES).toSorted());
});

test('inherited fields have no presence: their absence is their default', () => {
  const inherited = Object.keys(MESSAGES).flatMap((name) => registry.getMessage(`minikms.v1.${name}`)?.fields ?? []);
  const present = inherited.filter((field) => field.number < 100 && (field.oneof ?? field.proto.proto3Optional));
  expect(present).toEqual([]);
});

describe('minikms.v1.KMSService', () => {
  const service = registry.getService('minikms.v1.KMSService');

  test('has these methods, all unary', () => {
    expect(service?.methods.map(({ name, methodKind }) => [name, methodKind])).toEqual(
      METHODS.map((name) => [name, 'unary']),
    );
  });

  test.each(METHODS)('%s takes its request and gives its response', (name) => {
    const method = service?.methods.find((one) => one.name === name);
    expect([method?.input.typeName, method?.output.typeName]).toEqual([
      `minikms.v1.${name}Request`,
      `minikms.v1.${name}Response`,
    ]);
  });
});
