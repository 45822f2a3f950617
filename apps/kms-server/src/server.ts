import { Server } from '@grpc/grpc-js';
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Config } from './config.ts';
import { addServices, type Services } from './rpc/methods.ts';
import type { Unary } from './rpc/unary.ts';
import { serverCredentials } from './tls.ts';

const RECEIVE_LIMIT = 8 * 1024 * 1024;

export interface Listening {
  /** The port that was bound. */
  readonly port: number;
  /** What grpc.health.v1 answers, for the server and for each service. */
  setServing(serving: boolean): void;
  /** Takes no new calls, waits for those under way, and ends them after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>;
}

/** Starts the gRPC server. @throws Error when the address cannot be bound. */
export async function listen(config: Config, services: Services, wrapper: Unary): Promise<Listening> {
  const server = new Server({
    'grpc.max_receive_message_length': RECEIVE_LIMIT,
    'grpc.max_send_message_length': RECEIVE_LIMIT,
    'grpc.max_concurrent_streams': 1000,
  });
  addServices(server, services, wrapper);
  const names = ['', 'minikms.v1.KMSService'];
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
  return {
    port,
    setServing: (serving) => names.forEach((name) => health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING')),
    drain: (timeoutMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.forceShutdown(), timeoutMs);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}
