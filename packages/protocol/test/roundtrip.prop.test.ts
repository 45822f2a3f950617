import { readFileSync } from 'node:fs';
import { create, createFileRegistry, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BatchEncryptRequest, EncryptResponse, GetKeyInfoResponse } from '../src/index.ts';

const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../gen/minikms.binpb', import.meta.url))),
);

/** The same bytes through another implementation, which knows the messages from their descriptors alone. */
function throughDescriptors(name: string, bytes: Uint8Array): Uint8Array {
  const schema = registry.getMessage(`minikms.v1.${name}`);
  if (schema === undefined) throw new Error(`no message ${name}`);
  const message = fromBinary(schema, bytes);
  expect(message.$unknown).toBeUndefined();
  return toBinary(schema, create(schema, message));
}

const text = fc.string({ unit: 'grapheme' });
const bytes = fc.uint8Array().map((array) => Buffer.from(array));
const checksum = fc.option(fc.nat({ max: 0xffffffff }), { nil: undefined });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

describe('what is encoded is decoded', () => {
  test('EncryptResponse', () => {
    const message = fc.record({
      ciphertext: bytes,
      keyVersionId: text,
      ciphertextCrc32c: checksum,
      verifiedPlaintextCrc32c: fc.boolean(),
      verifiedAadCrc32c: fc.boolean(),
      error: fc.option(fc.record({ code: text, message: text, grpcStatus: fc.integer() }), { nil: undefined }),
      reference: text,
    });
    fc.assert(
      fc.property(message, (original) => {
        const encoded = EncryptResponse.encode(original).finish();
        expect(EncryptResponse.decode(encoded)).toEqual(original);
        expect(EncryptResponse.decode(throughDescriptors('EncryptResponse', encoded))).toEqual(original);
      }),
    );
  });

  test('BatchEncryptRequest', () => {
    const item = fc.record({
      plaintext: bytes,
      aad: text,
      reference: text,
      plaintextCrc32c: checksum,
      aadCrc32c: checksum,
    });
    const message = fc.record({
      tenantId: text,
      scopeId: text,
      items: fc.array(item, { maxLength: 10 }),
      ciphertextEncoding: fc.constantFrom(0, 1, 2),
      perItemResults: fc.boolean(),
    });
    fc.assert(
      fc.property(message, (fields) => {
        const original = fields as BatchEncryptRequest;
        const encoded = BatchEncryptRequest.encode(original).finish();
        expect(BatchEncryptRequest.decode(encoded)).toEqual(original);
        expect(BatchEncryptRequest.decode(throughDescriptors('BatchEncryptRequest', encoded))).toEqual(original);
      }),
    );
  });

  test('GetKeyInfoResponse, whose 64-bit integers are bigints', () => {
    const message = fc.record({
      keyVersionId: text,
      version: fc.integer(),
      encryptionCount: int64,
      maxEncryptions: int64,
      status: text,
    });
    fc.assert(
      fc.property(message, (original) => {
        const encoded = GetKeyInfoResponse.encode(original).finish();
        expect(GetKeyInfoResponse.decode(encoded)).toEqual(original);
        expect(GetKeyInfoResponse.decode(throughDescriptors('GetKeyInfoResponse', encoded))).toEqual(original);
      }),
    );
  });
});

test('fields of a newer server do not disturb', () => {
  const known = GetKeyInfoResponse.encode(GetKeyInfoResponse.fromPartial({ version: 7 })).finish();
  // Field 4000, a varint.
  const newer = Buffer.concat([known, Buffer.from([0x80, 0xfa, 0x01, 0x2a])]);
  expect(GetKeyInfoResponse.decode(newer).version).toBe(7);
});
