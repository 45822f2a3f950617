import { randomFillSync } from 'node:crypto';
import { inspect } from 'node:util';
import { equal } from './bytes.ts';
import { CryptoError } from './errors.ts';

const PRINTED = '[SecretBytes]';

/**
 * Key material that does not print, that knows what it is for, and that can be zeroed.
 *
 * `Kind` is part of the type: a `SecretBytes<'dek'>` where a `SecretBytes<'root-key'>` is due does not compile.
 * Printing, JSON, template strings and `util.inspect` give `[SecretBytes]`. The bytes leave through {@link expose} only.
 */
export class SecretBytes<Kind extends string> {
  /** What the secret is for, e.g. `'root-key'`; not secret. */
  readonly kind: Kind;
  /** In bytes; not secret, and still readable after `destroy()`. */
  readonly length: number;
  readonly #bytes: Uint8Array;
  #destroyed = false;

  static {
    // As a method it would need a computed name, which isolatedDeclarations does not take.
    Object.defineProperty(this.prototype, inspect.custom, { value: () => PRINTED });
  }

  private constructor(kind: Kind, length: number) {
    this.kind = kind;
    this.length = length;
    // V8 keeps typed arrays of up to 64 bytes inside its moving heap, where a collection leaves copies behind;
    // an explicit ArrayBuffer lives outside it, at one address, until it is freed.
    this.#bytes = new Uint8Array(new ArrayBuffer(length));
  }

  /** A secret holding a copy of `bytes`; the caller's array is left as it is. */
  static from<Kind extends string>(kind: Kind, bytes: Uint8Array): SecretBytes<Kind> {
    const secret = new SecretBytes(kind, bytes.length);
    secret.#bytes.set(bytes);
    return secret;
  }

  /** A secret holding a copy of `bytes`, after which the caller's array is zeroed. */
  static take<Kind extends string>(kind: Kind, bytes: Uint8Array): SecretBytes<Kind> {
    const secret = SecretBytes.from(kind, bytes);
    bytes.fill(0);
    return secret;
  }

  /**
   * `length` fresh bytes of the operating system's CSPRNG.
   *
   * @throws CryptoError `LENGTH_INVALID` unless `length` is an integer in 1..65536.
   */
  static random<Kind extends string>(kind: Kind, length: number): SecretBytes<Kind> {
    if (!Number.isInteger(length) || length < 1 || length > 65_536) {
      throw new CryptoError('LENGTH_INVALID', 'a random secret is 1 to 65536 bytes');
    }
    const secret = new SecretBytes(kind, length);
    randomFillSync(secret.#bytes);
    return secret;
  }

  /**
   * Hands the live bytes to `fn` and returns its result: the one way out. `fn` must be synchronous and must neither keep
   * nor change the array, which `destroy()` zeroes.
   *
   * @throws CryptoError `SECRET_DESTROYED` after `destroy()`.
   */
  expose<R>(fn: (bytes: Uint8Array) => R): R {
    return fn(this.#live());
  }

  /**
   * Whether both hold the same bytes, in time that depends on the length only; unequal lengths are `false`.
   *
   * @throws CryptoError `SECRET_DESTROYED` if either was destroyed: two zeroed secrets are not equal secrets.
   */
  equals(other: SecretBytes<Kind>): boolean {
    return equal(this.#live(), other.#live());
  }

  /** Zeroes the bytes. May be called again. */
  destroy(): void {
    this.#bytes.fill(0);
    this.#destroyed = true;
  }

  get destroyed(): boolean {
    return this.#destroyed;
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  toString(): string {
    return PRINTED;
  }

  toJSON(): string {
    return PRINTED;
  }

  #live(): Uint8Array {
    if (this.#destroyed) throw new CryptoError('SECRET_DESTROYED', `this ${this.kind} was destroyed`);
    return this.#bytes;
  }
}
