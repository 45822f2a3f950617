import { randomBytes } from 'node:crypto';
import { CryptoError } from './errors.ts';
import { gfInv, gfMul } from './gf256.ts';

export { gfInv, gfMul };

const MAX_SHARES = 255;

/**
 * Shares a secret so that any `threshold` of `shares` give it back and fewer say nothing about it (Shamir, "How to Share
 * a Secret", 1979; over GF(2^8), byte by byte). Share i is x (1 byte, = i, from 1) ‖ y (`secret.length` bytes); the secret
 * is at x = 0. Shares carry no checksum: that is the escrow envelope's.
 *
 * @param secret at least one byte.
 * @param threshold 1..`shares`. 1 makes every share a copy of the secret.
 * @param shares at most 255.
 * @param random exists for known-answer tests: called once for `secret.length × (threshold − 1)` bytes, the coefficients
 * of x^1 … x^(threshold−1) of the first secret byte, then of the second, …. What it returns is zeroed.
 * @throws CryptoError `LENGTH_INVALID` for an empty secret, numbers out of range, or too few bytes from `random`.
 */
export function split(
  secret: Uint8Array,
  threshold: number,
  shares: number,
  random: (length: number) => Uint8Array = randomBytes,
): Uint8Array[] {
  checkThreshold(threshold);
  if (secret.length === 0) throw new CryptoError('LENGTH_INVALID', 'an empty secret cannot be shared');
  if (!Number.isInteger(shares) || shares < threshold || shares > MAX_SHARES) {
    throw new CryptoError('LENGTH_INVALID', `the number of shares is ${threshold} to ${MAX_SHARES}`);
  }
  // Uniform, zero in the leading one included: a polynomial of exact degree would tell threshold−1 holders one value
  // that each secret byte is not.
  const coefficients = random(secret.length * (threshold - 1));
  try {
    if (coefficients.length !== secret.length * (threshold - 1)) {
      throw new CryptoError('LENGTH_INVALID', 'random gave another number of bytes than asked');
    }
    return Array.from({ length: shares }, (_, i) => evaluate(secret, coefficients, threshold - 1, i + 1));
  } finally {
    coefficients.fill(0);
  }
}

/**
 * The secret from at least `threshold` shares of one set. Shares beyond the threshold are checked: all must lie on one
 * polynomial of degree below `threshold`. With exactly `threshold` shares a wrong one goes unseen and gives another
 * secret: compare a fingerprint.
 *
 * @throws CryptoError `SHARE_INVALID`, naming positions (from 1) and never bytes, for too few shares, x = 0, an x
 * twice, unequal lengths, no value, or shares that do not agree; `LENGTH_INVALID` for a threshold outside 1..255.
 */
export function combine(shares: readonly Uint8Array[], threshold: number): Uint8Array {
  checkThreshold(threshold);
  checkShares(shares, threshold);
  const chosen = shares.slice(0, threshold);
  for (let extra = threshold; extra < shares.length; extra++) {
    const share = shares[extra]!;
    const expected = interpolate(chosen, share[0]!);
    let difference = 0;
    for (let i = 0; i < expected.length; i++) difference |= expected[i]! ^ share[i + 1]!;
    expected.fill(0);
    if (difference !== 0) {
      throw invalid(`share at position ${extra + 1} does not agree with the ${threshold} before it`);
    }
  }
  return interpolate(chosen, 0);
}

function evaluate(secret: Uint8Array, coefficients: Uint8Array, degree: number, x: number): Uint8Array {
  const share = new Uint8Array(1 + secret.length);
  share[0] = x;
  for (let i = 0; i < secret.length; i++) {
    // Horner's rule, from the highest coefficient down to the secret byte.
    let y = 0;
    for (let power = degree; power > 0; power--) y = gfMul(y ^ coefficients[i * degree + power - 1]!, x);
    share[1 + i] = y ^ secret[i]!;
  }
  return share;
}

/** The polynomials' values at `x`, by Lagrange's formula. The x's are public, so they may steer the loops. */
function interpolate(shares: readonly Uint8Array[], x: number): Uint8Array {
  const values = new Uint8Array(shares[0]!.length - 1);
  for (const share of shares) {
    let numerator = 1;
    let denominator = 1;
    for (const other of shares) {
      if (other === share) continue;
      numerator = gfMul(numerator, x ^ other[0]!);
      denominator = gfMul(denominator, share[0]! ^ other[0]!);
    }
    const weight = gfMul(numerator, gfInv(denominator));
    for (let i = 0; i < values.length; i++) values[i]! ^= gfMul(weight, share[i + 1]!);
  }
  return values;
}

function checkThreshold(threshold: number): void {
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > MAX_SHARES) {
    throw new CryptoError('LENGTH_INVALID', `the threshold is 1 to ${MAX_SHARES}`);
  }
}

function checkShares(shares: readonly Uint8Array[], threshold: number): void {
  if (shares.length < threshold) throw invalid(`${shares.length} shares given, ${threshold} needed`);
  const positions = new Map<number, number>();
  for (const [index, share] of shares.entries()) {
    const position = index + 1;
    if (share.length < 2) throw invalid(`share at position ${position} holds no value`);
    if (share.length !== shares[0]!.length) {
      throw invalid(`share at position ${position} is not of the same length as the first`);
    }
    const x = share[0]!;
    // At x = 0 the value is the secret itself: such a share would replace it.
    if (x === 0) throw invalid(`share at position ${position} has x = 0`);
    const earlier = positions.get(x);
    if (earlier !== undefined) throw invalid(`shares at positions ${earlier} and ${position} have the same x`);
    positions.set(x, position);
  }
}

function invalid(message: string): CryptoError {
  return new CryptoError('SHARE_INVALID', message);
}
