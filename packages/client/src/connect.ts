import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { type CallOptions, ChannelCredentials, Client, Metadata, status } from '@grpc/grpc-js';
import * as proto from '@minikms/protocol';
import { calls, type Invoke } from './calls.ts';
import { exportLog } from './export.ts';
import { failure } from './errors.ts';
import { AUDIT_REQUESTS, AUDIT_SERVICE, type AuditCalls, KMS_REQUESTS, type KmsCalls } from './services.ts';

const MESSAGE_LIMIT = 8 * 1024 * 1024;
const DEFAULT_DEADLINE_MS = 10_000;
const TOKEN = /^[\x21-\x7e]{1,4096}$/;
// What grpc-js sends as server name to an IP address, in place of the address.
const NO_NAME = 'minikms.invalid';

export interface ConnectOptions {
  /** `host:port`. */
  readonly address: string;
  /** Bearer token, sent with every call; only ever over TLS or to a loopback address. */
  readonly token?: string;
  /** PEM. `true` trusts the machine's own certificate authorities; without it the connection is in clear. */
  readonly tls?: true | { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer };
  /** Milliseconds that a call may take; 10,000 unless given here or with the call. */
  readonly deadlineMs?: number;
}

export interface MiniKms {
  /** Encrypt, decrypt, rotate: service `minikms.v1.KMSService`. */
  readonly kms: KmsCalls;
  /** Read, prove and export the audit log: service `minikms.v1.AuditService`. */
  readonly audit: AuditCalls;
  /** Waits until the server answers. @throws MiniKmsError `UNAVAILABLE` after `deadlineMs`. */
  ready(deadlineMs?: number): Promise<void>;
  /** Takes no more calls, and closes the connection when those under way are done. */
  close(): void;
}

/**
 * A connection to a miniKMS server. It connects when first used and again after every loss.
 *
 * @throws TypeError when a token would travel in clear to another machine, or cannot be one.
 */
export function connect(options: ConnectOptions): MiniKms {
  if (options.token !== undefined && !TOKEN.test(options.token)) {
    throw new TypeError('a token has 1 to 4096 printable ASCII characters, without spaces: is there a line end in it?');
  }
  if (options.token !== undefined && options.tls === undefined && !isLoopback(options.address)) {
    throw new TypeError('a token would travel in clear: set tls');
  }
  const ip = options.tls === undefined ? undefined : ipOf(options.address);
  const client = new Client(options.address, credentials(options.tls, ip), {
    'grpc.max_receive_message_length': MESSAGE_LIMIT,
    'grpc.max_send_message_length': MESSAGE_LIMIT,
    // Through a proxy of the environment, loopback would be the proxy's, and the token would travel there in clear.
    'grpc.enable_http_proxy': isLoopback(options.address) ? 0 : 1,
    ...(ip === undefined ? {} : { 'grpc.ssl_target_name_override': NO_NAME }),
  });
  const metadata = new Metadata();
  if (options.token !== undefined) metadata.set('authorization', `Bearer ${options.token}`);
  const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;

  let closed = false;

  const invoke: Invoke = (method, request, call, done) => {
    if (closed) throw failure(status.CANCELLED, 'the connection was closed');
    const settings: CallOptions = { deadline: Date.now() + (call?.deadlineMs ?? deadlineMs) };
    const { path, requestSerialize, responseDeserialize } = method;
    return client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata.clone(),
      settings,
      done,
    );
  };
  return {
    kms: calls(proto.KMSServiceService, KMS_REQUESTS, invoke),
    audit: {
      ...calls(AUDIT_SERVICE, AUDIT_REQUESTS, invoke),
      exportLog: (request, settings) =>
        exportLog(request, settings, (filled, options) => {
          if (closed) throw failure(status.CANCELLED, 'the connection was closed');
          const { path, requestSerialize, responseDeserialize } = proto.AuditServiceService.exportLog;
          return client.makeServerStreamRequest(
            path,
            requestSerialize,
            responseDeserialize,
            filled,
            metadata.clone(),
            options,
          );
        }),
    },
    ready: (ms = deadlineMs) =>
      new Promise((resolve, reject) => {
        if (closed) throw failure(status.CANCELLED, 'the connection was closed');
        client.waitForReady(Date.now() + ms, (error) => {
          if (error === undefined) resolve();
          else reject(failure(status.UNAVAILABLE, `no miniKMS server answers at ${options.address}`));
        });
      }),
    close: () => {
      closed = true;
      client.close();
    },
  };
}

function credentials(tls: ConnectOptions['tls'], ip: string | undefined): ChannelCredentials {
  if (tls === undefined) return ChannelCredentials.createInsecure();
  const { ca, key, cert } = tls === true ? {} : tls;
  // RFC 6066 §3: no server name for an IP address, and Node refuses one; the certificate is checked for the address.
  const verify =
    ip === undefined
      ? {}
      : { checkServerIdentity: (_: string, peer: PeerCertificate) => checkServerIdentity(ip, peer) };
  return ChannelCredentials.createSsl(ca ?? null, key ?? null, cert ?? null, verify);
}

/** The address without its port where it is an IP address. */
function ipOf(address: string): string | undefined {
  const host = address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return isIP(host) === 0 ? undefined : host;
}

/** Whether nothing but this machine can be behind an address. */
function isLoopback(address: string): boolean {
  const target = address.replace(/^dns:(\/\/\/)?/, '');
  const host = target.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
