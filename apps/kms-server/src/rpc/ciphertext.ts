import { CryptoError } from '@minikms/crypto-core';
import { CiphertextEncoding } from '@minikms/protocol';
import { ServerError } from '../errors.ts';

// Base64 text holds no control character; a sealed blob starts with its version number, which is below this.
const FIRST_TEXT_BYTE = 0x20;

/**
 * The blob that a request's ciphertext field holds: base64 text or the blob itself.
 *
 * @throws CryptoError `CIPHERTEXT_MALFORMED` when it is empty, or text that is not canonical padded standard base64
 *   (RFC 4648 §4, without white space).
 */
export function readCiphertext(field: Uint8Array): Uint8Array {
  if (field.length === 0) throw new CryptoError('CIPHERTEXT_MALFORMED', 'the ciphertext is empty');
  if ((field[0] as number) < FIRST_TEXT_BYTE) return field;
  const text = Buffer.from(field.buffer, field.byteOffset, field.length).toString('latin1');
  const blob = Buffer.from(text, 'base64');
  // Node's decoder takes the URL alphabet, white space, missing padding and stray bits: one blob, one text.
  if (blob.toString('base64') !== text) {
    throw new CryptoError(
      'CIPHERTEXT_MALFORMED',
      'the ciphertext is not standard base64 with padding and without spaces',
    );
  }
  return blob;
}

/** The ciphertext field of a response. */
export function writeCiphertext(blob: Buffer, encoding: CiphertextEncoding): Buffer {
  return encoding === CiphertextEncoding.CIPHERTEXT_ENCODING_RAW
    ? blob
    : Buffer.from(blob.toString('base64'), 'latin1');
}

/** @throws ServerError `FIELD_INVALID` for an encoding that this server does not know. */
export function checkEncoding(encoding: CiphertextEncoding): void {
  if (encoding < 0 || encoding > CiphertextEncoding.CIPHERTEXT_ENCODING_RAW) {
    throw new ServerError('FIELD_INVALID', 'ciphertext_encoding must be 0 (base64), 1 (base64) or 2 (raw)');
  }
}
