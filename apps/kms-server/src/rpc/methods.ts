import type { Server, UntypedServiceImplementation } from '@grpc/grpc-js';
import { AuditServiceService, KMSServiceService } from '@minikms/protocol';
import { auditMethods, type AuditServices } from './audit-methods.ts';
import { kmsMethods, type KmsServices } from './kms-methods.ts';
import { serverStream, type StreamMethod } from './server-stream.ts';
import { type Method, type Unary, unary } from './unary.ts';
import type { FieldBounds } from './wire.ts';

export type Services = AuditServices & KmsServices;

type Definition = Readonly<
  Record<
    string,
    { responseStream: boolean; requestDeserialize(bytes: Buffer): unknown; responseDeserialize(bytes: Buffer): unknown }
  >
>;
type RequestOf<M extends Definition[string]> = ReturnType<M['requestDeserialize']>;
type ResponseOf<M extends Definition[string]> = ReturnType<M['responseDeserialize']>;

/** A row for every RPC of a service: one that is missing does not compile. */
export type Table<D extends Definition> = {
  readonly [M in keyof D]: D[M]['responseStream'] extends true
    ? StreamMethod<RequestOf<D[M]>, ResponseOf<D[M]>>
    : Method<RequestOf<D[M]>, ResponseOf<D[M]>>;
};

// A message has each of its few fields once; a client may send some twice (protobuf.dev, "last one wins"), not many.
export const SINGLE: FieldBounds = { fields: 1024, message: 'the request has more than 1024 fields' };

/** Adds every service to a gRPC server, each method behind {@link unary}. */
export function addServices(server: Server, services: Services, wrapper: Unary): void {
  add(server, KMSServiceService, kmsMethods(services), wrapper);
  add(server, AuditServiceService, auditMethods(services), wrapper);
}

function add<D extends Definition>(server: Server, definition: D, table: Table<D>, wrapper: Unary): void {
  const methods: Record<string, object> = {};
  const handlers: UntypedServiceImplementation = {};
  const bytes = (value: Buffer): Buffer => value;
  for (const name of Object.keys(definition)) {
    // Messages are decoded inside unary(), where a malformed one is the caller's error, after the caller is known.
    methods[name] = { ...definition[name], requestDeserialize: bytes, responseSerialize: bytes };
    const method = table[name as keyof D] as Method<unknown, unknown> | StreamMethod<unknown, unknown>;
    handlers[name] = 'stream' in method ? serverStream(method, wrapper) : unary(method, wrapper);
  }
  server.addService(methods as Parameters<Server['addService']>[0], handlers);
}
