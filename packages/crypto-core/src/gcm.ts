import { createCipheriv, createDecipheriv, type CipherGCM, type KeyObject } from 'node:crypto';
import { CryptoError, ciphertextInvalid } from './errors.ts';

export const NONCE_LENGTH = 12;
export const TAG_LENGTH = 16;

// OpenSSL counts in int: Node refuses a longer update() or setAAD() with an error of its own.
const MAX_INPUT = 2 ** 31 - 1;

// Without it Node's decipher takes tags of 4, 8 and 12 to 15 bytes too: a forger would need 2^32 tries.
const OPTIONS = { authTagLength: TAG_LENGTH } as const;

/**
 * Internal: AES-256-GCM encryption begun, its AAD absorbed; the caller runs `update` once, `final`, `getAuthTag`.
 *
 * @throws CryptoError `LENGTH_INVALID` for a nonce that is not 12 bytes, or 2 GiB and more of plaintext or AAD.
 */
export function startSeal(key: KeyObject, nonce: Uint8Array, plaintextLength: number, aad: Uint8Array): CipherGCM {
  checkNonce(nonce);
  checkInput(plaintextLength);
  checkInput(aad.length);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, OPTIONS);
  cipher.setAAD(aad);
  return cipher;
}

/**
 * Internal: the plaintext, in a buffer of its own.
 *
 * @throws CryptoError `CIPHERTEXT_INVALID` when it does not authenticate; `LENGTH_INVALID` for a nonce that is not
 * 12 bytes or 2 GiB and more of AAD.
 */
export function decrypt(
  key: KeyObject,
  nonce: Uint8Array,
  ciphertext: Uint8Array,
  tag: Uint8Array,
  aad: Uint8Array,
): Buffer {
  checkNonce(nonce);
  checkInput(aad.length);
  // Nothing that this package sealed is longer.
  if (tag.length !== TAG_LENGTH || ciphertext.length > MAX_INPUT) throw ciphertextInvalid();
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, OPTIONS);
  decipher.setAAD(aad);
  decipher.setAuthTag(tag);
  const plaintext = decipher.update(ciphertext);
  try {
    decipher.final();
  } catch {
    // NIST SP 800-38D §7.2: on failure return FAIL and nothing else; update() has already decrypted by now.
    plaintext.fill(0);
    throw ciphertextInvalid();
  }
  return plaintext;
}

// NIST SP 800-38D §5.2.1.1 recommends 96 bits; other lengths are hashed down by GHASH and lose the uniqueness argument.
function checkNonce(nonce: Uint8Array): void {
  if (nonce.length !== NONCE_LENGTH) {
    throw new CryptoError('LENGTH_INVALID', `a nonce is 12 bytes, not ${nonce.length}`);
  }
}

function checkInput(length: number): void {
  if (length > MAX_INPUT) throw new CryptoError('LENGTH_INVALID', 'AES-256-GCM takes less than 2 GiB in one call');
}
