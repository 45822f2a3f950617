import { ServerCredentials } from '@grpc/grpc-js';
import type { TlsFiles } from './config.ts';

/**
 * TLS that asks clients for a certificate without demanding one, which grpc-js's own switch cannot. Whether a certificate
 * that was presented verifies is for `rpc/identify.ts` to check on each call.
 */
class RequestingCredentials extends ServerCredentials {
  _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** Credentials of the gRPC port: TLS 1.2 or later where files are given, clear text otherwise. */
export function serverCredentials(tls: TlsFiles | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const context = { cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2' as const };
  return tls.ca === undefined
    ? new RequestingCredentials({}, context)
    : new RequestingCredentials({ requestCert: true, rejectUnauthorized: false }, { ...context, ca: tls.ca });
}
