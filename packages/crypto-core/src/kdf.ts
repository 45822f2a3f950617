import { expand, extract } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { CryptoError } from './errors.ts';

const HASH_LENGTH = 32;
const MAX_LENGTH = 255 * HASH_LENGTH;

/**
 * HKDF-Extract with SHA-256 (RFC 5869 §2.2): a 32-byte pseudorandom key.
 *
 * An empty salt equals one of 32 zero bytes, and HMAC pads a salt shorter than 64 bytes with zeros: `"x"` and `"x\0"`
 * are one salt. Do not put variable-length or attacker-chosen values there.
 */
export function hkdfExtract(ikm: Uint8Array, salt: Uint8Array): Uint8Array {
  return extract(sha256, ikm, salt);
}

/**
 * HKDF-Expand with SHA-256 (RFC 5869 §2.3): `length` bytes.
 *
 * @throws CryptoError `KEY_LENGTH` when `prk` is shorter than 32 bytes, `LENGTH_INVALID` unless `length` is 1..8160.
 */
export function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  // RFC 5869 §2.3: "PRK: a pseudorandom key of at least HashLen octets".
  if (prk.length < HASH_LENGTH) throw new CryptoError('KEY_LENGTH', 'HKDF-Expand takes a key of at least 32 bytes');
  checkLength(length);
  return expand(sha256, prk, info, length);
}

/**
 * HKDF with SHA-256 (RFC 5869): Extract, then Expand to `length` bytes. See {@link hkdfExtract} about salts.
 *
 * @throws CryptoError `LENGTH_INVALID` unless `length` is 1..8160.
 */
export function hkdf(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  checkLength(length);
  const prk = hkdfExtract(ikm, salt);
  try {
    return hkdfExpand(prk, info, length);
  } finally {
    prk.fill(0);
  }
}

function checkLength(length: number): void {
  // RFC 5869 §2.3: "L: length of output keying material in octets (<= 255*HashLen)"; zero bytes are nobody's key.
  if (!Number.isInteger(length) || length < 1 || length > MAX_LENGTH) {
    throw new CryptoError('LENGTH_INVALID', `HKDF-SHA256 gives 1 to ${MAX_LENGTH} bytes`);
  }
}
