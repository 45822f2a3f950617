import { ServerError } from '../errors.ts';

/** Bounds of a single request; bytes of UTF-8 for text. */
export interface Limits {
  readonly plaintextBytes: number;
  readonly aadBytes: number;
  readonly batchItems: number;
  /** Plaintext and aad of a batch together. */
  readonly batchBytes: number;
  /** Ciphertext and aad of a batch to decrypt together. */
  readonly batchCiphertextBytes: number;
}

export const DEFAULT_LIMITS: Limits = {
  plaintextBytes: 1_048_576,
  aadBytes: 65_536,
  batchItems: 1000,
  batchBytes: 4_194_304,
  batchCiphertextBytes: 6_291_456,
};

/** Bytes of base64 text of a sealed blob of so much plaintext: what a ciphertext field may hold at most. */
export function ciphertextBytes(plaintextBytes: number): number {
  return Math.ceil((plaintextBytes + 45) / 3) * 4;
}

/** @throws ServerError `LIMIT_EXCEEDED`, naming the field and the limit. */
export function checkSize(field: string, size: number, limit: number): void {
  if (size > limit)
    throw new ServerError('LIMIT_EXCEEDED', `${field} has ${size} bytes, more than the limit of ${limit}`);
}

/** As {@link checkSize}, for a field of an item of a batch, whose name is made only when it is needed. */
export function checkItemSize(index: number, field: string, size: number, limit: number): void {
  if (size > limit) checkSize(`items[${index}].${field}`, size, limit);
}

/** Length in UTF-8 bytes. */
export function textBytes(text: string): number {
  return Buffer.byteLength(text, 'utf8');
}

const REFERENCE_BYTES = 128;

interface BatchItem {
  readonly aad: string;
  readonly reference: string;
}

/**
 * Bounds a batch as a whole, and the references of its items.
 *
 * @param bytes the item's payload in bytes, without its aad.
 * @throws ServerError `LIMIT_EXCEEDED`, naming both bounds.
 */
export function checkBatch<Item extends BatchItem>(
  items: readonly Item[],
  what: string,
  bytes: (item: Item) => number,
  limits: { readonly items: number; readonly bytes: number },
): void {
  let total = 0;
  if (items.length <= limits.items) for (const item of items) total += bytes(item) + textBytes(item.aad);
  if (items.length > limits.items || total > limits.bytes) {
    const has = items.length > limits.items ? `${items.length} items` : `${total} bytes`;
    throw new ServerError(
      'LIMIT_EXCEEDED',
      `the batch has ${has}: at most ${limits.items} items and ${limits.bytes} bytes of ${what} and aad are allowed`,
    );
  }
  items.forEach((item, i) => checkItemSize(i, 'reference', textBytes(item.reference), REFERENCE_BYTES));
}
