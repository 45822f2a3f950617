import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CryptoError, SealingKey, SecretBytes, parseSealed, toHex } from '../src/index.ts';

const text = fc.string({ unit: 'binary', maxLength: 12 });
const id = fc.uint8Array({ minLength: 16, maxLength: 16 });
const binding = fc.record({ keyVersionId: id, tenantId: text, scopeId: text });
const aad = fc.oneof(text, fc.uint8Array({ maxLength: 40 }));
const dek = SecretBytes.random('dek', 32);

function refused(fn: () => unknown): void {
  expect(fn).toThrow(CryptoError);
}

const bytesOf = (x: string | Uint8Array): string => toHex(typeof x === 'string' ? new TextEncoder().encode(x) : x);

test('what is sealed opens, 45 bytes longer', () => {
  fc.assert(
    fc.property(binding, fc.uint8Array({ maxLength: 2000 }), aad, (bound, plaintext, data) => {
      const key = SealingKey.from(dek, bound);
      const blob = key.seal(plaintext, data);
      expect(blob.length).toBe(plaintext.length + 45);
      expect(toHex(SealingKey.from(dek, bound).open(blob, data))).toBe(toHex(plaintext));
    }),
  );
});

test('parse throws nothing but CIPHERTEXT_MALFORMED, whatever the bytes', () => {
  const versioned = fc.uint8Array({ maxLength: 100 }).map((tail) => Uint8Array.of(1, ...tail));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), versioned), (bytes) => {
      try {
        expect(toHex(parseSealed(bytes).keyVersionId)).toBe(toHex(bytes.subarray(1, 17)));
        expect(bytes[0] === 1 && bytes.length >= 45).toBe(true);
      } catch (error) {
        if (!(error instanceof CryptoError)) throw error;
        expect(error.code).toBe('CIPHERTEXT_MALFORMED');
        expect(bytes[0] === 1 && bytes.length >= 45).toBe(false);
      }
    }),
    { numRuns: 1000 },
  );
});

test('arbitrary bytes never open, and fail as CryptoError', () => {
  fc.assert(
    fc.property(binding, fc.uint8Array({ maxLength: 200 }), aad, (bound, tail, data) => {
      const key = SealingKey.from(dek, bound);
      refused(() => key.open(tail, data));
      refused(() => key.open(Uint8Array.of(1, ...bound.keyVersionId, ...tail), data));
    }),
  );
});

test('any flipped bit, cut or extension is refused', () => {
  fc.assert(
    fc.property(binding, fc.uint8Array({ maxLength: 64 }), aad, fc.nat(), fc.nat(), (bound, plaintext, data, a, b) => {
      const key = SealingKey.from(dek, bound);
      const blob = key.seal(plaintext, data);
      const forged = Uint8Array.from(blob);
      const bit = a % (blob.length * 8);
      forged[bit >> 3]! ^= 1 << (bit & 7);
      refused(() => key.open(forged, data));
      refused(() => key.open(blob.subarray(0, b % blob.length), data));
      refused(() => key.open(blob.subarray(1 + (b % blob.length)), data));
      refused(() => key.open(Uint8Array.of(...blob, b & 255), data));
    }),
    { numRuns: 500 },
  );
});

test('another tenant, scope, key version, aad or DEK is refused', () => {
  fc.assert(
    fc.property(binding, binding, aad, aad, (bound, other, data, otherData) => {
      const blob = SealingKey.from(dek, bound).seal(Uint8Array.of(1, 2, 3), data);
      const opens = (changed: Partial<typeof bound>, withData = data): (() => unknown) => {
        const key = SealingKey.from(dek, { ...bound, ...changed });
        return () => key.open(blob, withData);
      };
      if (other.tenantId !== bound.tenantId) refused(opens({ tenantId: other.tenantId }));
      if (other.scopeId !== bound.scopeId) refused(opens({ scopeId: other.scopeId }));
      if (bytesOf(other.keyVersionId) !== bytesOf(bound.keyVersionId)) {
        refused(opens({ keyVersionId: other.keyVersionId }));
        // Not even when the header is rewritten to match: the id is in the AAD too.
        const moved = Uint8Array.from(blob);
        moved.set(other.keyVersionId, 1);
        const key = SealingKey.from(dek, { ...bound, keyVersionId: other.keyVersionId });
        refused(() => key.open(moved, data));
      }
      if (bytesOf(data) !== bytesOf(otherData)) refused(opens({}, otherData));
      refused(() => SealingKey.from(SecretBytes.random('dek', 32), bound).open(blob, data));
      expect(opens({})).not.toThrow();
    }),
    { numRuns: 300 },
  );
});

test('characters moved between tenant, scope and aad are refused', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 3, maxLength: 12 }),
      fc.nat(),
      fc.nat(),
      fc.nat(),
      fc.nat(),
      (all, a, b, c, d) => {
        const cut = (x: number, y: number): [string, string, string] => {
          const [i, j] = [x % (all.length + 1), y % (all.length + 1)].sort((m, n) => m - n) as [number, number];
          return [all.slice(0, i), all.slice(i, j), all.slice(j)];
        };
        const [one, two] = [cut(a, b), cut(c, d)];
        fc.pre(one.join('\0') !== two.join('\0'));
        const keyVersionId = new Uint8Array(16);
        const blob = SealingKey.from(dek, { keyVersionId, tenantId: one[0], scopeId: one[1] }).seal(
          dek.expose((k) => k),
          one[2],
        );
        refused(() => SealingKey.from(dek, { keyVersionId, tenantId: two[0], scopeId: two[1] }).open(blob, two[2]));
      },
    ),
  );
});
