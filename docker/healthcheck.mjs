// Asks the server of this container for its health (grpc.health.v1) and exits with 0 when it serves; with --alive, when it
// answers anything at all: a server that waits for its database is alive, one that is frozen is not. It finds the server
// by the server's own settings, and trusts whatever certificate it shows: it sends nothing, and goes to this machine.
import { ChannelCredentials, Client } from '@grpc/grpc-js';

const alive = process.argv.includes('--alive');
const match = /^(?:\[(.*)\]|([^:]*)):(\d+)$/.exec(process.env.MINIKMS_GRPC_ADDR || '0.0.0.0:50051');
const host = match?.[1] ?? match?.[2] ?? '';
const port = match?.[3] ?? '50051';
// Every address of the machine includes loopback.
const target = { '': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
const address = target.includes(':') ? `[${target}]:${port}` : `${target}:${port}`;

const tls = ['true', '1'].includes(process.env.MINIKMS_TLS_ENABLED ?? '');
const credentials = tls
  ? ChannelCredentials.createSsl(null, null, null, { rejectUnauthorized: false, checkServerIdentity: () => undefined })
  : ChannelCredentials.createInsecure();

const client = new Client(address, credentials, {
  'grpc.enable_http_proxy': 0,
  // An IP address is no server name for TLS.
  'grpc.ssl_target_name_override': 'minikms.invalid',
});
client.makeUnaryRequest(
  '/grpc.health.v1.Health/Check',
  // HealthCheckRequest without a service: the server as a whole.
  () => Buffer.alloc(0),
  (bytes) => bytes,
  null,
  { deadline: Date.now() + 3000 },
  (error, response) => {
    client.close();
    // HealthCheckResponse { status: SERVING }, field 1 as a varint.
    const good = error === null && (alive || response.equals(Buffer.from([0x08, 0x01])));
    if (!good) console.error(error === null ? 'not serving' : error.details);
    process.exitCode = good ? 0 : 1;
  },
);
