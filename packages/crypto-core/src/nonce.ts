import { randomFillSync } from 'node:crypto';
import { CryptoError } from './errors.ts';

const NONCE_LENGTH = 12;
const POOL_LENGTH = 4096 * NONCE_LENGTH;

// A call into the CSPRNG costs more than sealing a short message, so one call fetches 4096 nonces. Nonces are public:
// those waiting in the pool are worth nothing to someone who reads this process's memory beside the keys.
const pool = new Uint8Array(POOL_LENGTH);
let next = POOL_LENGTH;

/**
 * Writes a fresh random 96-bit nonce into `target` at `offset`; each is handed out once.
 *
 * @throws CryptoError `LENGTH_INVALID` unless 12 bytes fit there (an out-of-range write to a typed array is silent and
 * would leave a nonce of zeros).
 */
export function fillNonce(target: Uint8Array, offset: number): void {
  if (!Number.isInteger(offset) || offset < 0 || offset + NONCE_LENGTH > target.length) {
    throw new CryptoError('LENGTH_INVALID', 'a nonce needs 12 bytes of room');
  }
  if (next === POOL_LENGTH) {
    // Before the cursor moves: if the CSPRNG throws, the old nonces are still spent.
    randomFillSync(pool);
    next = 0;
  }
  const from = next;
  next += NONCE_LENGTH;
  for (let i = 0; i < NONCE_LENGTH; i++) target[offset + i] = pool[from + i]!;
}

/** A fresh random 96-bit nonce: 12 bytes, never handed out before. */
export function randomNonce(): Uint8Array {
  const nonce = new Uint8Array(NONCE_LENGTH);
  fillNonce(nonce, 0);
  return nonce;
}
