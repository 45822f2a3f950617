import {
  type BatchDecryptResponse,
  type BatchEncryptResponse,
  DecryptResponse,
  EncryptResponse,
} from '@minikms/protocol';
import { encodeResponse } from './wire.ts';

// The answers of the hot path, written into one buffer of the right size: the generated writer grows its buffer and
// copies what it holds several times. What these leave out goes through the generated code, and a property test holds
// the two against each other.

// Field number ‖ wire type 2 (protobuf.dev, "Message structure"): all of these fields have lengths.
const FIRST = 0x0a;
const SECOND = 0x12;
const REFERENCE = [0xc2, 0x06] as const;

/** The bytes of an {@link EncryptResponse}. */
export function encodeEncryptResponse(message: EncryptResponse): Buffer {
  const size = encryptSize(message);
  if (size === undefined) return encodeResponse(EncryptResponse, message);
  const out = Buffer.allocUnsafe(size);
  writeEncrypt(out, 0, message);
  return out;
}

/** The bytes of a {@link BatchEncryptResponse}. */
export function encodeBatchEncryptResponse(message: BatchEncryptResponse): Buffer {
  return encodeItems(message.items, encryptSize, writeEncrypt, (item) => encodeResponse(EncryptResponse, item));
}

/** The bytes of a {@link DecryptResponse}. */
export function encodeDecryptResponse(message: DecryptResponse): Buffer {
  const size = decryptSize(message);
  if (size === undefined) return encodeResponse(DecryptResponse, message);
  const out = Buffer.allocUnsafe(size);
  writeDecrypt(out, 0, message);
  return out;
}

/** The bytes of a {@link BatchDecryptResponse}. */
export function encodeBatchDecryptResponse(message: BatchDecryptResponse): Buffer {
  return encodeItems(message.items, decryptSize, writeDecrypt, (item) => encodeResponse(DecryptResponse, item));
}

/** Bytes of the usual fields; `undefined` where others are set. */
function encryptSize(message: EncryptResponse): number | undefined {
  if (message.ciphertextCrc32c !== undefined || message.error !== undefined) return undefined;
  if (message.verifiedPlaintextCrc32c || message.verifiedAadCrc32c || message.keyVersionId.length > 127)
    return undefined;
  const reference = referenceSize(message.reference);
  if (reference === undefined) return undefined;
  return fieldSize(message.ciphertext.length) + fieldSize(message.keyVersionId.length) + reference;
}

function writeEncrypt(out: Buffer, at: number, message: EncryptResponse): number {
  const end = writeText(out, writeBytes(out, at, message.ciphertext), SECOND, message.keyVersionId);
  return message.reference === '' ? end : writeReference(out, end, message.reference);
}

function decryptSize(message: DecryptResponse): number | undefined {
  if (message.plaintextCrc32c !== undefined || message.error !== undefined) return undefined;
  if (message.verifiedCiphertextCrc32c || message.verifiedAadCrc32c) return undefined;
  const reference = referenceSize(message.reference);
  return reference === undefined ? undefined : fieldSize(message.plaintext.length) + reference;
}

function writeDecrypt(out: Buffer, at: number, message: DecryptResponse): number {
  const end = writeBytes(out, at, message.plaintext);
  return message.reference === '' ? end : writeReference(out, end, message.reference);
}

function encodeItems<Item>(
  items: readonly Item[],
  sizeOf: (item: Item) => number | undefined,
  write: (out: Buffer, at: number, item: Item) => number,
  encode: (item: Item) => Buffer,
): Buffer {
  let total = 0;
  const sizes: number[] = [];
  const unusual = new Map<number, Buffer>();
  for (const [i, item] of items.entries()) {
    let size = sizeOf(item);
    if (size === undefined) {
      const bytes = encode(item);
      unusual.set(i, bytes);
      size = bytes.length;
    }
    sizes.push(size);
    total += 1 + varintSize(size) + size;
  }
  const out = Buffer.allocUnsafe(total);
  let at = 0;
  for (const [i, item] of items.entries()) {
    out[at] = FIRST;
    at = writeVarint(out, at + 1, sizes[i] as number);
    const bytes = unusual.get(i);
    at = bytes === undefined ? write(out, at, item) : at + bytes.copy(out, at);
  }
  return out;
}

function fieldSize(length: number): number {
  return length === 0 ? 0 : 1 + varintSize(length) + length;
}

/** Bytes of the field `reference`; `undefined` for text that is not ASCII, or long. */
function referenceSize(reference: string): number | undefined {
  if (reference === '') return 0;
  if (reference.length > 127) return undefined;
  for (let i = 0; i < reference.length; i++) if (reference.charCodeAt(i) > 0x7f) return undefined;
  return 3 + reference.length;
}

function writeBytes(out: Buffer, at: number, bytes: Uint8Array): number {
  if (bytes.length === 0) return at;
  out[at] = FIRST;
  const start = writeVarint(out, at + 1, bytes.length);
  out.set(bytes, start);
  return start + bytes.length;
}

/** ASCII text of 0 to 127 characters. */
function writeText(out: Buffer, at: number, tag: number, text: string): number {
  if (text === '') return at;
  out[at] = tag;
  out[at + 1] = text.length;
  return at + 2 + out.write(text, at + 2, 'latin1');
}

function writeReference(out: Buffer, at: number, text: string): number {
  out[at] = REFERENCE[0];
  return writeText(out, at + 1, REFERENCE[1], text);
}

function varintSize(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
}

function writeVarint(out: Buffer, at: number, value: number): number {
  let rest = value;
  let end = at;
  for (; rest > 0x7f; rest >>>= 7) out[end++] = (rest & 0x7f) | 0x80;
  out[end] = rest;
  return end + 1;
}
