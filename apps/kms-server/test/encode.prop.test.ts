import { BatchDecryptResponse, BatchEncryptResponse, DecryptResponse, EncryptResponse } from '@minikms/protocol';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeBatchDecryptResponse,
  encodeBatchEncryptResponse,
  encodeDecryptResponse,
  encodeEncryptResponse,
} from '../src/rpc/encode.ts';
import { encodeResponse } from '../src/rpc/wire.ts';

const bytes = fc
  .oneof(fc.nat({ max: 300 }), fc.constantFrom(0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152))
  .map((length) => Buffer.alloc(length, 7));
const rare = <T>(value: fc.Arbitrary<T>, usual: T): fc.Arbitrary<T> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: value });
const text = fc.oneof(fc.string({ maxLength: 130 }), fc.string({ unit: 'grapheme', maxLength: 60 }));
const crc = rare<number | undefined>(fc.nat(), undefined);
const error = rare(fc.record({ code: fc.string(), message: fc.string(), grpcStatus: fc.nat() }), undefined);
const common = { error, reference: rare(text, ''), verifiedAadCrc32c: rare(fc.boolean(), false) };

const encryptResponse = fc.record({
  ...common,
  ciphertext: bytes,
  keyVersionId: fc.oneof(fc.uuid(), fc.constant('')),
  ciphertextCrc32c: crc,
  verifiedPlaintextCrc32c: rare(fc.boolean(), false),
});
const decryptResponse = fc.record({
  ...common,
  plaintext: bytes,
  plaintextCrc32c: crc,
  verifiedCiphertextCrc32c: rare(fc.boolean(), false),
});

describe('the encoders of the hot path', () => {
  it('write what the generated ones write', () => {
    fc.assert(
      fc.property(encryptResponse, decryptResponse, (encrypted, decrypted) => {
        expect(encodeEncryptResponse(encrypted).equals(encodeResponse(EncryptResponse, encrypted))).toBe(true);
        expect(encodeDecryptResponse(decrypted).equals(encodeResponse(DecryptResponse, decrypted))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('do so for batches', () => {
    fc.assert(
      fc.property(
        fc.array(encryptResponse, { maxLength: 5 }),
        fc.array(decryptResponse, { maxLength: 5 }),
        (encrypted, decrypted) => {
          const [sealed, opened] = [{ items: encrypted }, { items: decrypted }];
          expect(encodeBatchEncryptResponse(sealed).equals(encodeResponse(BatchEncryptResponse, sealed))).toBe(true);
          expect(encodeBatchDecryptResponse(opened).equals(encodeResponse(BatchDecryptResponse, opened))).toBe(true);
        },
      ),
      { numRuns: 100 },
    );
  });
});
