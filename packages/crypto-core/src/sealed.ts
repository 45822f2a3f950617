import { withAad } from './aad.ts';
import { AeadKey, keyObject } from './aead.ts';
import { domainSeparated } from './bytes.ts';
import { CryptoError, ciphertextInvalid } from './errors.ts';
import { decrypt, NONCE_LENGTH, startSeal, TAG_LENGTH } from './gcm.ts';
import { fillNonce } from './nonce.ts';
import type { SecretBytes } from './secret.ts';

/** First byte of a sealed blob of this version (spec/sealed.md §2). */
export const SEALED_VERSION = 0x01;

/** Bytes that sealing adds: version 1, key version id 16, nonce 12, tag 16. */
export const SEALED_OVERHEAD = 45;

const DOMAIN = 'minikms/sealed/v1';
const ID_LENGTH = 16;
const NONCE_AT = 1 + ID_LENGTH;
const BODY_AT = NONCE_AT + NONCE_LENGTH;

/** What a sealed blob says in clear. Nothing of it is authenticated before `open` has succeeded. */
export interface SealedHeader {
  /** 16 bytes naming the key version that sealed it: a view into the blob, not a copy. */
  readonly keyVersionId: Uint8Array;
}

/**
 * Reads the header of a sealed blob, to find the key that opens it (spec/sealed.md §4).
 *
 * @throws CryptoError `CIPHERTEXT_MALFORMED`, and nothing else, for fewer than 45 bytes or an unknown version.
 */
export function parseSealed(blob: Uint8Array): SealedHeader {
  checkForm(blob);
  return { keyVersionId: blob.subarray(1, NONCE_AT) };
}

// Holds the nonce between the pool and createCipheriv, which copies it: cheaper than a view into the result.
const nonce = new Uint8Array(NONCE_LENGTH);

/**
 * Seals and opens blobs of one key version of one tenant and scope (spec/sealed.md). Safe to keep and to share; counting
 * its uses against the budget of 2^30 is the caller's.
 */
export class SealingKey {
  /** The 16 bytes that each blob's header carries; a copy, changing it changes no blob. */
  readonly keyVersionId: Uint8Array;
  readonly #key: AeadKey;
  readonly #header: Uint8Array;
  readonly #aadPrefix: Uint8Array;

  private constructor(key: AeadKey, id: Uint8Array, aadPrefix: Uint8Array) {
    this.keyVersionId = id;
    this.#key = key;
    this.#header = Uint8Array.of(SEALED_VERSION, ...id);
    this.#aadPrefix = aadPrefix;
  }

  /**
   * A key holding a copy of the DEK, which stays the caller's to destroy.
   *
   * @throws CryptoError `KEY_LENGTH` unless the DEK is 32 bytes; `LENGTH_INVALID` unless the id is 16; `TEXT_INVALID`
   * for a tenant or scope with a lone surrogate; `SECRET_DESTROYED`.
   */
  static from(
    secret: SecretBytes<'dek'>,
    binding: { keyVersionId: Uint8Array; tenantId: string; scopeId: string },
  ): SealingKey {
    if (binding.keyVersionId.length !== ID_LENGTH) {
      throw new CryptoError('LENGTH_INVALID', `a key version id is 16 bytes, not ${binding.keyVersionId.length}`);
    }
    const id = new Uint8Array(binding.keyVersionId);
    // spec/sealed.md §3: the AAD up to the caller's part is the same for every blob of this key version.
    const prefix = domainSeparated(DOMAIN, Uint8Array.of(SEALED_VERSION), id, binding.tenantId, binding.scopeId);
    return new SealingKey(AeadKey.from(secret), id, prefix);
  }

  /**
   * Seals under a fresh random nonce. The result is `plaintext.length + 45` bytes; a string AAD counts as its UTF-8, so
   * `'a'` and the byte 0x61 are the same AAD.
   *
   * @throws CryptoError `LENGTH_INVALID` for 2 GiB and more of plaintext or AAD; `TEXT_INVALID` for an AAD with a lone
   * surrogate; `SECRET_DESTROYED`.
   */
  seal(plaintext: Uint8Array, aad: string | Uint8Array): Buffer {
    const key = keyObject(this.#key);
    fillNonce(nonce, 0);
    const cipher = startSeal(key, nonce, plaintext.length, withAad(this.#aadPrefix, aad));
    const ciphertext = cipher.update(plaintext);
    cipher.final();
    // What is written here is public, so Node's shared pool may serve it.
    const blob = Buffer.allocUnsafe(SEALED_OVERHEAD + ciphertext.length);
    blob.set(this.#header);
    blob.set(nonce, NONCE_AT);
    blob.set(ciphertext, BODY_AT);
    blob.set(cipher.getAuthTag(), BODY_AT + ciphertext.length);
    return blob;
  }

  /**
   * Opens a blob. The plaintext is the caller's to zero: its memory is shared with nothing.
   *
   * @throws CryptoError `CIPHERTEXT_MALFORMED` when it does not parse; `CIPHERTEXT_INVALID` when another key version
   * sealed it or it does not authenticate, partial plaintext zeroed; `LENGTH_INVALID` and `TEXT_INVALID` for the AAD as
   * in {@link seal}; `SECRET_DESTROYED`.
   */
  open(blob: Uint8Array, aad: string | Uint8Array): Buffer {
    const key = keyObject(this.#key);
    checkForm(blob);
    // spec/sealed.md §4: the header names the key; another key is never tried.
    for (let i = 0; i < NONCE_AT; i++) if (blob[i] !== this.#header[i]) throw ciphertextInvalid();
    const tagAt = blob.length - TAG_LENGTH;
    return decrypt(
      key,
      blob.subarray(NONCE_AT, BODY_AT),
      blob.subarray(BODY_AT, tagAt),
      blob.subarray(tagAt),
      withAad(this.#aadPrefix, aad),
    );
  }

  /** Drops the key; later use throws `SECRET_DESTROYED`. */
  destroy(): void {
    this.#key.destroy();
  }
}

// spec/sealed.md §4: length first, then the version byte; the id is not looked at.
function checkForm(blob: Uint8Array): void {
  if (blob.length < SEALED_OVERHEAD) {
    throw new CryptoError('CIPHERTEXT_MALFORMED', `a sealed blob has at least ${SEALED_OVERHEAD} bytes`);
  }
  if (blob[0] !== SEALED_VERSION) throw new CryptoError('CIPHERTEXT_MALFORMED', 'unknown version of sealed blob');
}
