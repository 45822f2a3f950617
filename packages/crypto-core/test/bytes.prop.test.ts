import fc from 'fast-check';
import { expect, test } from 'vitest';
import { domainSeparated, fromHex, toHex, utf8, uuidFromBytes, uuidToBytes } from '../src/index.ts';

const text = fc.string({ unit: 'binary', maxLength: 6 });
const field = fc.oneof(text, fc.uint8Array({ maxLength: 12 }));
// Few distinct characters make lists that concatenate alike, which is where a joined encoding collides.
const similar = fc.array(fc.stringMatching(/^[a:\0]{0,3}$/), { maxLength: 5 });

function fieldsOf(encoded: Uint8Array, domain: string): string[] {
  const view = new DataView(encoded.buffer, encoded.byteOffset, encoded.byteLength);
  const out: string[] = [];
  for (let at = domain.length; at < encoded.length;) {
    const length = Number(view.getBigUint64(at));
    out.push(toHex(encoded.subarray(at + 8, at + 8 + length)));
    at += 8 + length;
  }
  return out;
}

test('what domainSeparated encodes can be read back, so no two lists of fields share an encoding', () => {
  fc.assert(
    fc.property(fc.array(field, { maxLength: 6 }), (fields) => {
      const bytes = fields.map((f) => toHex(typeof f === 'string' ? utf8(f) : f));
      expect(fieldsOf(domainSeparated('minikms/test/v1', ...fields), 'minikms/test/v1')).toEqual(bytes);
    }),
  );
});

test('lists that join to the same string encode differently', () => {
  fc.assert(
    fc.property(similar, similar, (a, b) => {
      const same = JSON.stringify(a) === JSON.stringify(b);
      expect(toHex(domainSeparated('d', ...a)) === toHex(domainSeparated('d', ...b))).toBe(same);
    }),
    { numRuns: 1000 },
  );
});

test('utf8 is injective and round trips', () => {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  fc.assert(
    fc.property(text, (s) => {
      expect(decoder.decode(utf8(s))).toBe(s);
    }),
  );
});

test('hexadecimal and UUIDs round trip', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes, uuid) => {
      expect(fromHex(toHex(bytes))).toEqual(bytes);
      expect(uuidToBytes(uuidFromBytes(uuid))).toEqual(uuid);
    }),
  );
});
