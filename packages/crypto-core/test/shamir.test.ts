import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { combine, concat, split, toHex, utf8 } from '../src/index.ts';
import { gfInv, gfMul } from '../src/shamir.ts';
import { codeOf, h } from './cases.ts';
import { vectorJson, vectorsAbsent } from './vectors.ts';

interface Kats {
  field: {
    mul: [number, number, number][];
    inv: [number, number][];
    div: [number, number, number][];
    full_mul_table_sha256: string;
    full_inv_table_sha256_with_inv0_0: string;
  };
  kats: {
    name: string;
    secret: string;
    n: number;
    t: number;
    coefficients: string[] | null;
    shares_xfirst: string[];
  }[];
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const mulTable = Uint8Array.from({ length: 65_536 }, (_, i) => gfMul(i >> 8, i & 255));

/** The file's own rule for the set whose coefficients it does not list: per secret byte SHA-256("name/i:0") ‖ …. */
function derived(name: string, bytes: number, degree: number): string[] {
  const blocks = Array.from({ length: Math.ceil(degree / 32) }, (_, block) => block);
  return Array.from({ length: bytes }, (_, i) =>
    blocks
      .map((block) => sha256(utf8(`${name}/${i}:${block}`)))
      .join('')
      .slice(0, 2 * degree),
  );
}

describe('the field', () => {
  test('FIPS 197 §4.2 examples', () => {
    expect(gfMul(0x57, 0x83)).toBe(0xc1);
    expect(gfMul(0x57, 0x13)).toBe(0xfe);
  });

  test('multiplication commutes, has 1, and stays in a byte', () => {
    for (let a = 0; a < 256; a++) {
      expect([gfMul(a, 1), gfMul(a, 0)]).toEqual([a, 0]);
      for (let b = 0; b < a; b++) if (gfMul(a, b) !== mulTable[(b << 8) | a]) expect.fail(`${a}·${b}`);
    }
  });

  test('every element but 0 has an inverse; 0 gives 0', () => {
    for (let a = 1; a < 256; a++) expect(gfMul(a, gfInv(a))).toBe(1);
    expect(gfInv(0)).toBe(0);
  });
});

describe('split', () => {
  test('a known polynomial: 0x42 + 0xb4·x', () => {
    const shares = split(h('42'), 2, 3, (n) => (expect(n).toBe(1), h('b4')));
    expect(shares.map(toHex)).toEqual(['01f6', '0231', '0385']);
  });

  test('zeroes the coefficients it was given', () => {
    const coefficients = h('0102');
    split(h('ff'), 3, 5, () => coefficients);
    expect(toHex(coefficients)).toBe('0000');
  });

  test('draws the leading coefficient uniformly, zero included', () => {
    // 0x00 leading: shares of a 3-of-5 that lie on a line. A splitter that redraws zeros would loop or differ.
    expect(split(h('42'), 3, 3, () => h('b400')).map(toHex)).toEqual(['01f6', '0231', '0385']);
    const seen = new Set(split(new Uint8Array(8192), 2, 2)[0]!.subarray(1));
    expect(seen.size).toBe(256);
  });

  test('a threshold of one copies the secret', () => {
    expect(split(h('0102'), 1, 3).map(toHex)).toEqual(['010102', '020102', '030102']);
  });

  test('255 shares', () => {
    const shares = split(h('a1b2c3'), 255, 255);
    expect(toHex(combine(shares.toReversed(), 255))).toBe('a1b2c3');
  });

  test('refuses numbers out of range, empty secrets and short randomness', () => {
    const bad = [
      [0, 3],
      [-1, 3],
      [4, 3],
      [2, 256],
      [256, 256],
      [1.5, 3],
      [2, 2.5],
      [NaN, 3],
      [2, NaN],
    ] as const;
    for (const [t, n] of bad) expect(codeOf(() => split(h('00'), t, n))).toBe('LENGTH_INVALID');
    expect(codeOf(() => split(h(''), 2, 3))).toBe('LENGTH_INVALID');
    expect(codeOf(() => split(h('00'), 2, 3, () => h('')))).toBe('LENGTH_INVALID');
  });
});

describe('combine refuses', () => {
  const [a, b, c, d] = split(h('5ec7e75ec7e7'), 3, 5) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  const zero = concat(h('00'), a.subarray(1));
  const twice = concat(b.subarray(0, 1), c.subarray(1));
  const flipped = Uint8Array.from(d);
  flipped[3]! ^= 1;
  const foreign = split(h('5ec7e75ec7e7'), 3, 5)[4]!;
  const empty = [h('01'), h('02'), h('03')];
  const refusals: [string, Uint8Array[], RegExp][] = [
    ['no shares', [], /0 shares given, 3 needed/],
    ['too few', [a, b], /2 shares given, 3 needed/],
    ['x = 0', [a, b, zero], /position 3 has x = 0/],
    ['x = 0 first', [zero, b, c], /position 1 has x = 0/],
    ['the same share twice', [a, b, a], /positions 1 and 3 have the same x/],
    ['two values at one x', [a, b, twice], /positions 2 and 3 have the same x/],
    ['a longer one', [a, concat(b, h('00')), c], /position 2 is not of the same length/],
    ['a shorter one', [a, b, c.subarray(0, 6)], /position 3 is not of the same length/],
    ['no values', empty, /position 1 holds no value/],
    ['nothing at all', [h(''), h(''), h('')], /position 1 holds no value/],
    ['a flipped bit beside enough shares', [a, b, c, flipped], /position 4 does not agree/],
    ['a share of another set', [a, b, foreign, d], /position 4 does not agree/],
  ];

  test.each(refusals)('%s', (_, shares, message) => {
    expect(codeOf(() => combine(shares, 3))).toBe('SHARE_INVALID');
    expect(() => combine(shares, 3)).toThrow(message);
  });

  test('a threshold below the one of the set, when more shares show it', () => {
    expect(codeOf(() => combine([a, b, c], 2))).toBe('SHARE_INVALID');
    expect(codeOf(() => combine([a, b], 1))).toBe('SHARE_INVALID');
  });

  test('thresholds out of range', () => {
    for (const t of [0, -1, 256, 1.5, NaN]) expect(codeOf(() => combine([a, b, c], t))).toBe('LENGTH_INVALID');
  });

  test('and leaves the shares as they were', () => {
    const before = [a, b, c, d].map(toHex);
    combine([a, b, c, d], 3);
    expect([a, b, c, d].map(toHex)).toEqual(before);
  });
});

describe.skipIf(vectorsAbsent)('shamir/gf256-11b-xfirst-kat.json', () => {
  const { field, kats } = vectorJson<Kats>('shamir/gf256-11b-xfirst-kat.json');

  test('field: examples and hashes of the full tables', () => {
    for (const [a, b, product] of field.mul) expect(gfMul(a, b)).toBe(product);
    for (const [a, inverse] of field.inv) expect(gfInv(a)).toBe(inverse);
    for (const [a, b, quotient] of field.div) expect(gfMul(a, gfInv(b))).toBe(quotient);
    expect(sha256(mulTable)).toBe(field.full_mul_table_sha256);
    expect(sha256(Uint8Array.from({ length: 256 }, (_, a) => gfInv(a)))).toBe(field.full_inv_table_sha256_with_inv0_0);
  });

  test('all sets are reproduced and combined', () => {
    expect(kats.length).toBe(12);
    for (const { name, secret, n, t, coefficients, shares_xfirst } of kats) {
      expect(
        split(h(secret), t, n, () => h((coefficients ?? derived(name, secret.length / 2, t - 1)).join(''))).map(toHex),
        name,
      ).toEqual(shares_xfirst);
      expect(toHex(combine(shares_xfirst.map(h), t)), name).toBe(secret);
      expect(toHex(combine(shares_xfirst.slice(-t).map(h), t)), name).toBe(secret);
    }
  });
});
