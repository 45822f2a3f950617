import { Server, type ServiceDefinition, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { readFileSync } from 'node:fs';
import type { Http2Server } from 'node:http2';
import { createRequire } from 'node:module';
import type { Config } from './config.ts';
import { addServices, type Services } from './rpc/methods.ts';
import { Admission } from './rpc/admission.ts';
import type { Identify } from './rpc/identify.ts';
import { useStreamTables } from './rpc/stream-table.ts';
import { actionOf, type Unary } from './rpc/unary.ts';
import { serverCredentials } from './tls.ts';

const RECEIVE_LIMIT = 8 * 1024 * 1024;
/** How long a request may take to arrive. */
const BODY_MS = 60_000;
/** Served to everybody: the health service, and reflection, which exists in development mode only. */
const OPEN = /^\/grpc\.(health|reflection)\./;

export interface Listening {
  /** The port that was bound. */
  readonly port: number;
  /** What grpc.health.v1 answers, for the server and for each service. */
  setServing(serving: boolean): void;
  /** Takes no new calls, waits for those under way, and ends them after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
}

/** Starts the gRPC server. @throws Error when the address cannot be bound. */
export async function listen(
  config: Config,
  services: Services,
  identify: Identify,
  wrapper: Unary,
): Promise<Listening> {
  const actions = new Map<string, string>();
  const admission = new Admission({
    identify,
    audit: wrapper.audit,
    isOpen: (path) => OPEN.test(path),
    actionOf: (path) => actions.get(path) ?? path,
    bodyMs: BODY_MS,
  });
  const server = new RecordingServer(actions, {
    interceptors: [admission.interceptor],
    'grpc.max_receive_message_length': RECEIVE_LIMIT,
    'grpc.max_send_message_length': RECEIVE_LIMIT,
    'grpc.max_concurrent_streams': 250,
    // Connections that nobody uses, and those whose other end is gone without a word.
    'grpc.max_connection_idle_ms': 300_000,
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
  });
  addServices(server, services, wrapper);
  const names = ['', 'minikms.v1.AuditService', 'minikms.v1.KMSService'];
  const health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, 'NOT_SERVING'])));
  health.addToServer(server);
  if (config.development) {
    const descriptors = readFileSync(createRequire(import.meta.url).resolve('@minikms/protocol/minikms.binpb'));
    new ReflectionService(loadFileDescriptorSetFromBuffer(descriptors)).addToServer(server);
  }
  const host = config.address.host.includes(':') ? `[${config.address.host}]` : config.address.host;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${config.address.port}`, serverCredentials(config.tls), (error, bound) =>
      error === null
        ? resolve(bound)
        : reject(new Error(`cannot listen on ${host}:${config.address.port}: ${error.message}`)),
    );
  });
  server.onEachHttp2Server(useStreamTables);
  return {
    port,
    setServing: (serving) => names.forEach((name) => health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING')),
    drain: (timeoutMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.forceShutdown(), timeoutMs);
        server.tryShutdown(() => {
          clearTimeout(timer);
          admission.close();
          resolve();
        });
      }),
  };
}

/** Remembers what the audit log calls each method that it serves, by path. */
class RecordingServer extends Server {
  readonly #actions: Map<string, string>;

  constructor(actions: Map<string, string>, options: ConstructorParameters<typeof Server>[0]) {
    super(options);
    this.#actions = actions;
  }

  /** grpc-js (its version is fixed) has no public name for the servers under it; a test watches over this one. */
  onEachHttp2Server(visit: (server: Http2Server) => void): void {
    const { http2Servers } = this as unknown as { readonly http2Servers?: ReadonlyMap<Http2Server, unknown> };
    for (const server of http2Servers?.keys() ?? []) visit(server);
  }

  override addService(service: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    super.addService(service, implementation);
    for (const [name, { path }] of Object.entries(service)) {
      const action = actionOf(implementation[name]);
      if (action !== undefined) this.#actions.set(path, action);
    }
  }
}
