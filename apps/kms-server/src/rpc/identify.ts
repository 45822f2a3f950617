import { createHash, timingSafeEqual } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Metadata, ServerUnaryCall } from '@grpc/grpc-js';
import { ServerError } from '../errors.ts';

/** Who calls. Until roles exist there is one kind, which may do everything. */
export interface Principal {
  readonly kind: 'operator';
  /** Opaque; `anonymous` only in development mode. */
  readonly id: string;
}

export interface IdentifyOptions {
  /** SHA-256 of the operator's bearer token, 32 bytes. */
  readonly operatorTokenSha256: Uint8Array | undefined;
  /** Development mode: a call without credentials is an anonymous operator. */
  readonly allowAnonymous: boolean;
  /** Client certificates are requested: one that does not verify is refused, never ignored. */
  readonly checksCertificates: boolean;
}

export type Identify = (call: ServerUnaryCall<Buffer, Buffer>) => Principal;

const BEARER = /^bearer +([\x21-\x7e]{1,4096})$/i;
const ANONYMOUS: Principal = Object.freeze({ kind: 'operator', id: 'anonymous' });
const OPERATOR: Principal = Object.freeze({ kind: 'operator', id: 'operator' });

/** A function that says who calls, or throws ServerError `UNAUTHENTICATED`: one message, whatever was wrong. */
export function identifier(options: IdentifyOptions): Identify {
  return (call) => {
    if (options.checksCertificates) checkCertificate(call);
    const presented = bearerToken(call.metadata);
    if (presented === undefined) {
      if (options.allowAnonymous) return ANONYMOUS;
      throw new ServerError('UNAUTHENTICATED', 'this call needs credentials: metadata "authorization: Bearer <token>"');
    }
    const digest = createHash('sha256').update(presented).digest();
    if (options.operatorTokenSha256 === undefined || !timingSafeEqual(digest, options.operatorTokenSha256))
      throw refused();
    return OPERATOR;
  };
}

function refused(): ServerError {
  return new ServerError('UNAUTHENTICATED', 'the credentials are not valid');
}

function bearerToken(metadata: Metadata): string | undefined {
  const values = metadata.get('authorization');
  if (values.length === 0) return undefined;
  // RFC 6750 §2.1; two headers could be read differently by two parties.
  const token = values.length === 1 && typeof values[0] === 'string' ? BEARER.exec(values[0])?.[1] : undefined;
  if (token === undefined) throw refused();
  return token;
}

function checkCertificate(call: ServerUnaryCall<Buffer, Buffer>): void {
  // grpc-js tells of a certificate only when it verified, and so cannot tell a bad one from none: hence the socket.
  const inner = call as unknown as { call?: { stream?: { session?: { socket?: TLSSocket } } } };
  const socket = inner.call?.stream?.session?.socket;
  if (socket === undefined) throw refused();
  if (!socket.authorized && socket.getPeerX509Certificate() !== undefined) throw refused();
}
