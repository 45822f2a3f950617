import { KmsError } from '@minikms/crypto-core';

/**
 * - `REQUEST_MALFORMED`: not a message of the contract, or a string field that is not UTF-8.
 * - `FIELD_INVALID`: a field breaks the rule that the message states. `LIMIT_EXCEEDED`: too many or too large, with the limit.
 * - `CHECKSUM_MISMATCH`: a CRC32C in the request does not agree with what arrived.
 * - `KEY_VERSION_MISMATCH`: the ciphertext names another key version than the request.
 * - `UNAUTHENTICATED`, `PERMISSION_DENIED`.
 * - `BUSY`: as many calls of this kind run as may.
 * - `CANCELLED`: the caller left, or its deadline passed, before the answer was ready, or it did not read a stream.
 * - `INTERNAL`: a fault of the server; the log has the cause under the request id.
 */
export type ServerErrorCode =
  | 'BUSY'
  | 'CANCELLED'
  | 'CHECKSUM_MISMATCH'
  | 'FIELD_INVALID'
  | 'INTERNAL'
  | 'KEY_VERSION_MISMATCH'
  | 'LIMIT_EXCEEDED'
  | 'PERMISSION_DENIED'
  | 'REQUEST_MALFORMED'
  | 'UNAUTHENTICATED';

export class ServerError extends KmsError<ServerErrorCode> {}
