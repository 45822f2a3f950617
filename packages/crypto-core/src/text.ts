import { CryptoError } from './errors.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * The bytes of a hexadecimal string, either case, no prefix or separators. `''` is zero bytes.
 *
 * @throws CryptoError `TEXT_INVALID` for an odd length or any other character.
 */
export function fromHex(hex: string): Uint8Array {
  // Buffer.from(…, 'hex') stops silently at the first bad digit, so the whole string is checked first.
  if (hex.length % 2 !== 0 || !/^[0-9a-f]*$/i.test(hex)) {
    throw new CryptoError('TEXT_INVALID', 'not hexadecimal with an even number of digits');
  }
  return new Uint8Array(Buffer.from(hex, 'hex'));
}

/** Lower-case hexadecimal, two digits per byte. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/**
 * The 16 bytes of a UUID in its canonical 8-4-4-4-12 text form, either case, any version (RFC 9562 §4).
 *
 * @throws CryptoError `TEXT_INVALID` for any other text: braces, `urn:uuid:`, missing hyphens, spaces.
 */
export function uuidToBytes(uuid: string): Uint8Array {
  if (!UUID.test(uuid)) throw new CryptoError('TEXT_INVALID', 'not a UUID in its canonical text form');
  return fromHex(uuid.replaceAll('-', ''));
}

/**
 * The canonical text of a UUID, lower case (RFC 9562 §4).
 *
 * @throws CryptoError `LENGTH_INVALID` unless 16 bytes.
 */
export function uuidFromBytes(bytes: Uint8Array): string {
  if (bytes.length !== 16) throw new CryptoError('LENGTH_INVALID', `a UUID is 16 bytes, not ${bytes.length}`);
  const hex = toHex(bytes);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
