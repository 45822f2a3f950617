/**
 * The one error type of miniKMS. Every package extends it with its own union of codes; the server holds one total
 * table from code to gRPC status.
 *
 * `message` is meant for operators: it names lengths, positions and what was expected, never the bytes of a secret,
 * a share or a ciphertext.
 */
export class KmsError<Code extends string = string> extends Error {
  /** Stable, upper snake case; branch on this, never on `message`. */
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/**
 * What this package throws.
 *
 * - `CIPHERTEXT_INVALID`: authentication failed. Wrong key, nonce, AAD or altered bytes: nobody is told which.
 * - `CIPHERTEXT_MALFORMED`: the bytes cannot be a blob of this format (too short, unknown version).
 * - `KEY_LENGTH`: a key of a size the algorithm does not take.
 * - `SECRET_DESTROYED`: use of key material after `destroy()`.
 * - `SHARE_INVALID`: Shamir shares that cannot be combined.
 * - `LENGTH_INVALID`: a length, count or integer outside what its field holds.
 * - `TEXT_INVALID`: a string that has no exact encoding: a lone surrogate, a bad hex digit, not a UUID.
 */
export type CryptoErrorCode =
  | 'CIPHERTEXT_INVALID'
  | 'CIPHERTEXT_MALFORMED'
  | 'KEY_LENGTH'
  | 'SECRET_DESTROYED'
  | 'SHARE_INVALID'
  | 'LENGTH_INVALID'
  | 'TEXT_INVALID';

/** A {@link KmsError} with one of this package's codes. */
export class CryptoError extends KmsError<CryptoErrorCode> {}

/**
 * The error for every failed authentication of ciphertext: one code, one message, no cause, so that neither a caller
 * nor a log tells a wrong key from a wrong AAD from a flipped bit.
 */
export function ciphertextInvalid(): CryptoError {
  return new CryptoError('CIPHERTEXT_INVALID', 'ciphertext could not be authenticated');
}
