import { createHash, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Metadata } from '@grpc/grpc-js';
import { ServerError } from '../errors.ts';

/** Who calls. Until roles exist there is one kind, which may do everything. */
export interface Principal {
  readonly kind: 'operator';
  /** Opaque; `anonymous` only in development mode. */
  readonly id: string;
  /** SHA-256 of the bearer token, 32 bytes; none without one. */
  readonly tokenSha256: Uint8Array;
}

export interface IdentifyOptions {
  /** SHA-256 of the operator's bearer token, 32 bytes. */
  readonly operatorTokenSha256: Uint8Array | undefined;
  /** Development mode: a call without credentials is an anonymous operator. */
  readonly allowAnonymous: boolean;
  /** Client certificates are requested: one that does not verify is refused, never ignored. */
  readonly checksCertificates: boolean;
}

/** @param socket of the connection; looked at only where certificates are checked. */
export type Identify = (metadata: Metadata, socket: () => Socket | undefined) => Principal;

const BEARER = /^bearer +([\x21-\x7e]{1,4096})$/i;
const ANONYMOUS: Principal = { kind: 'operator', id: 'anonymous', tokenSha256: new Uint8Array(0) };

/** A function that says who calls, or throws ServerError `UNAUTHENTICATED`: one message, whatever was wrong. */
export function identifier(options: IdentifyOptions): Identify {
  const { operatorTokenSha256 } = options;
  const operator: Principal | undefined = operatorTokenSha256 && {
    kind: 'operator',
    id: 'operator',
    tokenSha256: operatorTokenSha256,
  };
  return (metadata, socket) => {
    if (options.checksCertificates) checkCertificate(socket());
    const presented = bearerToken(metadata);
    if (presented === undefined) {
      if (options.allowAnonymous) return ANONYMOUS;
      throw new ServerError('UNAUTHENTICATED', 'this call needs credentials: metadata "authorization: Bearer <token>"');
    }
    const digest = createHash('sha256').update(presented).digest();
    if (operator === undefined || !timingSafeEqual(digest, operator.tokenSha256)) throw refused();
    return operator;
  };
}

/** Under a name that no header has. A WeakMap costs more for each call. */
const PRINCIPAL = Symbol('principal');
type Remembering = Metadata & { [PRINCIPAL]?: Principal };

/** Notes who sent this metadata, for {@link principalOf}. */
export function remember(metadata: Metadata, principal: Principal): void {
  (metadata as Remembering)[PRINCIPAL] = principal;
}

/** @throws ServerError `UNAUTHENTICATED` for a call that was not let in. */
export function principalOf(metadata: Metadata): Principal {
  const principal = (metadata as Remembering)[PRINCIPAL];
  if (principal === undefined) throw refused();
  return principal;
}

function refused(): ServerError {
  return new ServerError('UNAUTHENTICATED', 'the credentials are not valid');
}

function bearerToken(metadata: Metadata): string | undefined {
  const values = metadata.get('authorization');
  if (values.length === 0) return undefined;
  // RFC 6750 §2.1. Of several headers Node keeps the first and does not tell; clients that join them are refused.
  const token = values.length === 1 && typeof values[0] === 'string' ? BEARER.exec(values[0])?.[1] : undefined;
  if (token === undefined) throw refused();
  return token;
}

function checkCertificate(socket: Socket | undefined): void {
  // grpc-js tells of a certificate only when it verified, and so cannot tell a bad one from none: hence the socket.
  if (!(socket instanceof TLSSocket)) throw refused();
  if (!socket.authorized && socket.getPeerX509Certificate() !== undefined) throw refused();
}
