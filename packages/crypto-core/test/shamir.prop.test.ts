import fc from 'fast-check';
import { expect, test } from 'vitest';
import { combine, split, toHex } from '../src/index.ts';
import { codeOf } from './cases.ts';

const secret = fc.uint8Array({ minLength: 1, maxLength: 40 });
const quorum = fc
  .integer({ min: 1, max: 12 })
  .chain((n) => fc.record({ n: fc.constant(n), t: fc.integer({ min: 1, max: n }), seed: fc.infiniteStream(fc.nat()) }));

/** Some `count` of the shares in some order. */
function pick<T>(items: readonly T[], count: number, seed: Iterator<number>): T[] {
  const rest = [...items];
  return Array.from({ length: count }, () => rest.splice(seed.next().value % rest.length, 1)[0]!);
}

test('any t or more of n shares, in any order, give the secret', () => {
  fc.assert(
    fc.property(secret, quorum, fc.nat(), (bytes, { n, t, seed }, more) => {
      const count = t + (more % (n - t + 1));
      expect(toHex(combine(pick(split(bytes, t, n), count, seed), t))).toBe(toHex(bytes));
    }),
    { numRuns: 300 },
  );
});

test('one altered share among more than t is refused, wherever it stands', () => {
  fc.assert(
    fc.property(secret, quorum, fc.nat(), fc.integer({ min: 1, max: 255 }), (bytes, { n, t, seed }, at, change) => {
      fc.pre(n > t);
      const shares = pick(split(bytes, t, n), t + 1, seed);
      shares[at % shares.length]![1 + (at % bytes.length)]! ^= change;
      expect(codeOf(() => combine(shares, t))).toBe('SHARE_INVALID');
    }),
    { numRuns: 300 },
  );
});

test('fewer than t shares fit every secret: t − 1 shares and any secret have a polynomial', () => {
  fc.assert(
    fc.property(fc.nat(255), fc.nat(255), (real, guess) => {
      // 2-of-2: the share at x = 1 of `real` is also the share at x = 1 of `guess`, under another coefficient.
      const [one] = split(Uint8Array.of(real), 2, 2) as [Uint8Array];
      const [other] = split(Uint8Array.of(guess), 2, 2, () => Uint8Array.of(guess ^ one[1]!)) as [Uint8Array];
      expect(toHex(other)).toBe(toHex(one));
    }),
  );
});

test('combine throws nothing but CryptoError codes, whatever it is given', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 4 }), { maxLength: 6 }),
      fc.integer({ min: -1, max: 7 }),
      (s, t) => {
        expect(['returned', 'SHARE_INVALID', 'LENGTH_INVALID']).toContain(codeOf(() => combine(s, t)));
      },
    ),
    { numRuns: 500 },
  );
});
