import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { type AuditPosition, auditPosition } from './position.ts';

/** Why a call failed. */
export class MiniKmsError extends Error {
  /**
   * The server's stable code, such as `CIPHERTEXT_INVALID`; where no miniKMS server answered, the name of the gRPC
   * status, such as `UNAVAILABLE` or `DEADLINE_EXCEEDED`.
   */
  readonly code: string;
  /** gRPC status code (grpc.io, "Status codes and their use in gRPC"). */
  readonly grpcStatus: number;
  /** What the server's logs know the call by; `undefined` where it did not answer. */
  readonly requestId: string | undefined;
  /** Where its entry stands in the audit log; `undefined` where it has none of its own. */
  readonly auditPosition: AuditPosition | undefined;

  constructor(cause: ServiceError) {
    super(cause.details, { cause });
    this.name = 'MiniKmsError';
    this.grpcStatus = cause.code;
    this.code = text(cause, 'minikms-code') ?? status[cause.code];
    this.requestId = text(cause, 'minikms-request-id');
    this.auditPosition = auditPosition(cause.metadata);
  }
}

/** A failure that this side found, without asking a server. */
export function failure(code: status, details: string): MiniKmsError {
  return new MiniKmsError(Object.assign(new Error(details), { code, details, metadata: new Metadata() }));
}

function text(error: ServiceError, name: string): string | undefined {
  const value = error.metadata?.get(name)[0];
  return typeof value === 'string' ? value : undefined;
}
