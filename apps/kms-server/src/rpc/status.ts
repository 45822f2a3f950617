import { status } from '@grpc/grpc-js';
import type { AuditErrorCode } from '@minikms/audit-chain';
import { type CryptoErrorCode, KmsError } from '@minikms/crypto-core';
import type { HierarchyErrorCode } from '@minikms/key-hierarchy';
import type { StoreErrorCode } from '@minikms/store-prisma';
import type { ServerErrorCode } from '../errors.ts';

type Code = AuditErrorCode | CryptoErrorCode | HierarchyErrorCode | ServerErrorCode | StoreErrorCode;

/** Every code of ours and the gRPC status that it travels with; a code without a row does not compile. */
const STATUS: Readonly<Record<Code, status>> = {
  AUDIT_CLOSED: status.UNAVAILABLE,
  AUDIT_LOG_BEHIND: status.UNAVAILABLE,
  AUDIT_LOG_FORKED: status.DATA_LOSS,
  AUDIT_QUEUE_FULL: status.RESOURCE_EXHAUSTED,
  BUSY: status.RESOURCE_EXHAUSTED,
  CANCELLED: status.CANCELLED,
  CHANGE_ENTRY_INVALID: status.INTERNAL,
  CHECKPOINT_MALFORMED: status.INTERNAL,
  CHECKSUM_MISMATCH: status.INVALID_ARGUMENT,
  CIPHERTEXT_INVALID: status.INVALID_ARGUMENT,
  CIPHERTEXT_MALFORMED: status.INVALID_ARGUMENT,
  ENTRY_INVALID: status.INTERNAL,
  ENTRY_NOT_FOUND: status.NOT_FOUND,
  FIELD_INVALID: status.INVALID_ARGUMENT,
  ID_INVALID: status.INVALID_ARGUMENT,
  INTERNAL: status.INTERNAL,
  KEY_LENGTH: status.INTERNAL,
  KEY_MALFORMED: status.INTERNAL,
  KEY_NOT_FOUND: status.NOT_FOUND,
  KEY_UNWRAP_FAILED: status.DATA_LOSS,
  KEY_VERSION_MISMATCH: status.FAILED_PRECONDITION,
  LENGTH_INVALID: status.INTERNAL,
  LIMIT_EXCEEDED: status.INVALID_ARGUMENT,
  LINE_MALFORMED: status.INTERNAL,
  NOTE_MALFORMED: status.INTERNAL,
  NOTE_SIGNATURE_INVALID: status.INTERNAL,
  NOTE_UNSIGNED: status.INTERNAL,
  ORIGIN_INVALID: status.INTERNAL,
  PERMISSION_DENIED: status.PERMISSION_DENIED,
  RECEIPT_INVALID: status.INTERNAL,
  RECEIPT_MALFORMED: status.INTERNAL,
  REQUEST_MALFORMED: status.INVALID_ARGUMENT,
  ROOT_KEY_INVALID: status.INTERNAL,
  ROOT_KEY_MISMATCH: status.INTERNAL,
  ROOT_KEY_UNRECORDED: status.INTERNAL,
  ROTATION_CONFLICT: status.ABORTED,
  SALT_INVALID: status.INTERNAL,
  SALT_MISMATCH: status.INTERNAL,
  SECRET_DESTROYED: status.INTERNAL,
  SERVER_KEY_MISSING: status.INTERNAL,
  SERVER_KEY_NAME_MISMATCH: status.INTERNAL,
  SHARE_INVALID: status.INTERNAL,
  STORE_MIGRATION_FAILED: status.INTERNAL,
  STORE_MODE_MISMATCH: status.INTERNAL,
  STORE_NOT_DURABLE: status.INTERNAL,
  STORE_SCHEMA_MISMATCH: status.INTERNAL,
  STORE_UNAVAILABLE: status.UNAVAILABLE,
  TEXT_INVALID: status.INVALID_ARGUMENT,
  TREE_INVALID: status.INVALID_ARGUMENT,
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  WITNESS_FAILED: status.INTERNAL,
  WITNESS_POLICY_INVALID: status.INTERNAL,
};

export interface Failure {
  readonly code: Code;
  readonly status: status;
  /** Fit for the caller: says what was wrong, nothing of the inside. */
  readonly message: string;
}

/** What the caller is told of an error. What is not ours, or is a fault of the server, becomes `INTERNAL`. */
export function failureOf(error: unknown): Failure {
  if (error instanceof KmsError && Object.hasOwn(STATUS, error.code)) {
    const code = error.code as Code;
    if (STATUS[code] !== status.INTERNAL) return { code, status: STATUS[code], message: error.message };
  }
  return {
    code: 'INTERNAL',
    status: status.INTERNAL,
    message: 'internal error: see the server log under the request id',
  };
}
