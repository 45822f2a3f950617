import { crc32c } from '@node-rs/crc32';
import { ServerError } from '../errors.ts';

/** CRC32C (Castagnoli; RFC 3720 appendix B.4) as an unsigned 32-bit number. */
export function checksum(data: Uint8Array | string): number {
  return crc32c(
    typeof data === 'string' || Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.length),
  );
}

/**
 * Compares a field with the checksum that the request gives for it.
 *
 * @param field name for the error message.
 * @returns false when the request gives none, true when it agrees.
 * @throws ServerError `CHECKSUM_MISMATCH`
 */
export function verifyChecksum(field: string, data: Uint8Array | string, expected: number | undefined): boolean {
  if (expected === undefined) return false;
  if (checksum(data) !== expected) {
    throw new ServerError(
      'CHECKSUM_MISMATCH',
      `${field} does not have the CRC32C that the request gives for it: it was damaged on the way`,
    );
  }
  return true;
}
