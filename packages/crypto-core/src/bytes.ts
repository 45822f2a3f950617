import { timingSafeEqual } from 'node:crypto';
import { CryptoError } from './errors.ts';

const encoder = new TextEncoder();

/**
 * The UTF-8 encoding of a string.
 *
 * @throws CryptoError `TEXT_INVALID` for a lone surrogate: an encoder that replaces it by U+FFFD would map different
 * strings to the same bytes, and so two tenants to the same key.
 */
export function utf8(text: string): Uint8Array {
  if (!text.isWellFormed()) throw loneSurrogate();
  return encoder.encode(text);
}

/** The parts one after another in a new array. Ambiguous over variable-length fields: hash {@link domainSeparated}. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Whether both hold the same bytes, in time that depends on the length only. Unequal lengths are `false`. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/**
 * A 4-byte big-endian unsigned integer.
 *
 * @throws CryptoError `LENGTH_INVALID` unless an integer in 0..2^32-1.
 */
export function uint32(n: number): Uint8Array {
  if (!Number.isInteger(n) || n < 0 || n > 0xffff_ffff) throw outOfRange('uint32');
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, n);
  return out;
}

/**
 * An 8-byte big-endian unsigned integer.
 *
 * @throws CryptoError `LENGTH_INVALID` unless in 0..2^64-1; a `number` must also be a safe integer.
 */
export function uint64(n: number | bigint): Uint8Array {
  if (typeof n === 'number' && !Number.isSafeInteger(n)) throw outOfRange('uint64');
  const value = BigInt(n);
  if (value < 0n || value > 0xffff_ffff_ffff_ffffn) throw outOfRange('uint64');
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, value);
  return out;
}

/**
 * `LP(x)`: 8-byte big-endian length in bytes, then the bytes; a string counts as its UTF-8.
 *
 * @throws CryptoError `TEXT_INVALID` for a string with a lone surrogate.
 */
export function lp(x: Uint8Array | string): Uint8Array {
  const bytes = typeof x === 'string' ? utf8(x) : x;
  const out = new Uint8Array(8 + bytes.length);
  writeLength(out, 0, bytes.length);
  out.set(bytes, 8);
  return out;
}

/**
 * `domain ‖ LP(field) ‖ LP(field) ‖ …`: the input of every hash and AAD over several fields. Injective in the fields
 * for a fixed domain; the domain is ASCII and neither terminated nor prefixed, so no domain may be a prefix of another.
 *
 * @throws CryptoError `TEXT_INVALID` unless the domain is printable ASCII, at least one character, and every string
 * field is well formed.
 */
export function domainSeparated(domain: string, ...fields: readonly (Uint8Array | string)[]): Uint8Array {
  if (!/^[\x20-\x7e]+$/.test(domain)) throw new CryptoError('TEXT_INVALID', 'a domain string is printable ASCII');
  const encoded = fields.map((field) => (typeof field === 'string' ? utf8(field) : field));
  let length = domain.length;
  for (const field of encoded) length += 8 + field.length;
  const out = new Uint8Array(length);
  let at = encoder.encodeInto(domain, out).written;
  for (const field of encoded) {
    writeLength(out, at, field.length);
    out.set(field, at + 8);
    at += 8 + field.length;
  }
  return out;
}

/** Writes the 8-byte length of `LP`; a length is below 2^53. Internal: for the hot path of the sealed blob. */
export function writeLength(target: Uint8Array, at: number, length: number): void {
  const high = Math.floor(length / 0x1_0000_0000);
  target[at] = 0;
  target[at + 1] = high >>> 16;
  target[at + 2] = high >>> 8;
  target[at + 3] = high;
  target[at + 4] = length >>> 24;
  target[at + 5] = length >>> 16;
  target[at + 6] = length >>> 8;
  target[at + 7] = length;
}

/** Internal: one message for every string that {@link utf8} refuses. */
export function loneSurrogate(): CryptoError {
  return new CryptoError('TEXT_INVALID', 'a string with a lone surrogate has no UTF-8 encoding');
}

function outOfRange(type: string): CryptoError {
  return new CryptoError('LENGTH_INVALID', `not an integer that fits ${type}`);
}
