import { createSecretKey, type KeyObject } from 'node:crypto';
import { concat } from './bytes.ts';
import { CryptoError, ciphertextInvalid } from './errors.ts';
import { decrypt, NONCE_LENGTH, startSeal, TAG_LENGTH } from './gcm.ts';
import { randomNonce } from './nonce.ts';
import type { SecretBytes } from './secret.ts';

const KEY_LENGTH = 32;

let keyObjectOf: (key: AeadKey) => KeyObject;

/** A 256-bit AES-GCM key held by OpenSSL. Neither prints nor exports it. */
export class AeadKey {
  #key: KeyObject | undefined;

  private constructor(key: KeyObject) {
    this.#key = key;
  }

  static {
    keyObjectOf = (key) => {
      if (key.#key === undefined) throw new CryptoError('SECRET_DESTROYED', 'this key was destroyed');
      return key.#key;
    };
  }

  /**
   * A key holding a copy of `secret`, which stays the caller's to destroy.
   *
   * @throws CryptoError `KEY_LENGTH` unless 32 bytes; `SECRET_DESTROYED`.
   */
  static from(secret: SecretBytes<string>): AeadKey {
    if (secret.length !== KEY_LENGTH) {
      throw new CryptoError('KEY_LENGTH', `AES-256-GCM takes a key of 32 bytes, not ${secret.length}`);
    }
    return new AeadKey(secret.expose((bytes) => createSecretKey(bytes)));
  }

  /** Drops the key; later use throws `SECRET_DESTROYED`. OpenSSL cleanses the memory when it is collected. */
  destroy(): void {
    this.#key = undefined;
  }
}

/** Internal: the one way from a key to what node:crypto takes. Throws `SECRET_DESTROYED`. */
export function keyObject(key: AeadKey): KeyObject {
  return keyObjectOf(key);
}

/**
 * AES-256-GCM (NIST SP 800-38D §7.1): returns ciphertext ‖ 16-byte tag. The nonce is 12 bytes and must never be used
 * twice under one key; {@link aeadSealBlob} picks one.
 *
 * @throws CryptoError `LENGTH_INVALID` for another nonce length or 2 GiB and more of plaintext or AAD; `SECRET_DESTROYED`.
 */
export function aeadSeal(key: AeadKey, nonce: Uint8Array, plaintext: Uint8Array, aad: Uint8Array): Uint8Array {
  const cipher = startSeal(keyObject(key), nonce, plaintext.length, aad);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  return concat(ciphertext, cipher.getAuthTag());
}

/**
 * Opens what {@link aeadSeal} returned (NIST SP 800-38D §7.2). The plaintext is the caller's to zero.
 *
 * @throws CryptoError `CIPHERTEXT_INVALID` when it does not authenticate, or is shorter than its tag; `LENGTH_INVALID`
 * for a nonce that is not 12 bytes or 2 GiB and more of AAD; `SECRET_DESTROYED`.
 */
export function aeadOpen(key: AeadKey, nonce: Uint8Array, ciphertextAndTag: Uint8Array, aad: Uint8Array): Uint8Array {
  const split = ciphertextAndTag.length - TAG_LENGTH;
  const secret = keyObject(key);
  if (split < 0) throw ciphertextInvalid();
  return decrypt(secret, nonce, ciphertextAndTag.subarray(0, split), ciphertextAndTag.subarray(split), aad);
}

/**
 * Seals under a fresh random nonce: nonce (12) ‖ ciphertext ‖ tag (16), the wrapped-key format, which the Go service
 * shares.
 *
 * @throws CryptoError `LENGTH_INVALID` for 2 GiB and more of plaintext or AAD; `SECRET_DESTROYED`.
 */
export function aeadSealBlob(key: AeadKey, plaintext: Uint8Array, aad: Uint8Array): Uint8Array {
  const nonce = randomNonce();
  return concat(nonce, aeadSeal(key, nonce, plaintext, aad));
}

/**
 * Opens nonce (12) ‖ ciphertext ‖ tag (16). The plaintext is the caller's to zero.
 *
 * @throws CryptoError `CIPHERTEXT_MALFORMED` below 28 bytes; `CIPHERTEXT_INVALID` when it does not authenticate;
 * `SECRET_DESTROYED`.
 */
export function aeadOpenBlob(key: AeadKey, blob: Uint8Array, aad: Uint8Array): Uint8Array {
  if (blob.length < NONCE_LENGTH + TAG_LENGTH) {
    throw new CryptoError('CIPHERTEXT_MALFORMED', 'shorter than a nonce and a tag');
  }
  return aeadOpen(key, blob.subarray(0, NONCE_LENGTH), blob.subarray(NONCE_LENGTH), aad);
}
