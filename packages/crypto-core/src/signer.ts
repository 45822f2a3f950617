import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { CryptoError } from './errors.ts';
import type { SecretBytes } from './secret.ts';

const KEY_LENGTH = 32;
const SIGNATURE_LENGTH = 64;

// RFC 8410 §7: OneAsymmetricKey { 0, id-Ed25519, OCTET STRING { OCTET STRING { seed } } }, up to the seed.
const PKCS8 = Uint8Array.from([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32]);
// RFC 8410 §4: SubjectPublicKeyInfo { id-Ed25519, BIT STRING { public key } }, up to the key.
const SPKI = Uint8Array.from([48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0]);

/** An Ed25519 signing key (RFC 8032 §5.1) held by OpenSSL. Neither prints nor exports it. */
export class Signer {
  #key: KeyObject | undefined;
  readonly #publicKey: Uint8Array;

  private constructor(key: KeyObject) {
    this.#key = key;
    this.#publicKey = Uint8Array.from(
      createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-KEY_LENGTH),
    );
  }

  /**
   * The key of a 32-byte seed, which stays the caller's to destroy.
   *
   * @throws CryptoError `KEY_LENGTH` unless 32 bytes; `SECRET_DESTROYED`.
   */
  static fromSeed(seed: SecretBytes<'signing-seed'>): Signer {
    if (seed.length !== KEY_LENGTH) {
      throw new CryptoError('KEY_LENGTH', `Ed25519 takes a seed of 32 bytes, not ${seed.length}`);
    }
    const der = Buffer.alloc(PKCS8.length + KEY_LENGTH);
    try {
      der.set(PKCS8);
      seed.expose((bytes) => der.set(bytes, PKCS8.length));
      return new Signer(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
    } finally {
      der.fill(0);
    }
  }

  /** The raw 32 bytes of the public key, a copy; still readable after `destroy()`. */
  get publicKey(): Uint8Array {
    return this.#publicKey.slice();
  }

  /**
   * The 64-byte signature of a message; the same each time.
   *
   * @throws CryptoError `SECRET_DESTROYED`.
   */
  sign(message: Uint8Array): Uint8Array {
    if (this.#key === undefined) throw new CryptoError('SECRET_DESTROYED', 'this key was destroyed');
    return Uint8Array.from(sign(null, message, this.#key));
  }

  /** Drops the key; later use throws `SECRET_DESTROYED`. OpenSSL cleanses the memory when it is collected. */
  destroy(): void {
    this.#key = undefined;
  }
}

/**
 * Whether the 64 bytes are the signature of the message under a raw 32-byte Ed25519 public key. `false` for whatever is
 * malformed; never throws.
 */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== KEY_LENGTH || signature.length !== SIGNATURE_LENGTH) return false;
  try {
    const key = createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: 'der', type: 'spki' });
    return verify(null, message, key, signature);
  } catch {
    return false;
  }
}
