import { randomBytes } from 'node:crypto';
import {
  type handleUnaryCall,
  Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type StatusObject,
} from '@grpc/grpc-js';
import { ServerError } from '../errors.ts';
import type { Audit, CallEvent } from './audit.ts';
import { type Principal, principalOf } from './identify.ts';
import { failureOf } from './status.ts';
import { type Codec, decodeRequest, type FieldBounds } from './wire.ts';

/** What a principal may be allowed to do. */
export type Permission = 'kms:decrypt' | 'kms:encrypt' | 'kms:manage';

/** What a method's function gets besides the request. */
export interface Context {
  readonly principal: Principal;
  /** @throws ServerError `CANCELLED` when the caller left or its deadline passed: to be called after each wait. */
  stopIfCancelled(): void;
}

/** A row of the method table: all that the server knows of an RPC. */
export interface Method<Req, Res> {
  readonly request: Codec<Req>;
  /** How many fields a request may have. */
  readonly bounds: FieldBounds;
  /** The bytes of a response. */
  readonly encode: (response: Res) => Buffer;
  readonly permissions: readonly Permission[];
  /** What the audit log calls it. */
  readonly action: string;
  readonly tenant: (request: Req) => string;
  readonly scope: (request: Req) => string;
  /** @throws ServerError or HierarchyError for a request that breaks a rule. */
  readonly validate: (request: Req) => void;
  readonly run: (request: Req, context: Context) => Res | Promise<Res>;
}

export interface Unary {
  /** @throws ServerError `PERMISSION_DENIED` */
  readonly authorize: (
    principal: Principal,
    permissions: readonly Permission[],
    tenantId: string,
    scopeId: string,
  ) => void;
  readonly audit: Audit;
}

// Unique without a trip to the random generator for each call.
const REQUEST_ID_PREFIX = randomBytes(6).toString('hex');
let requests = 0;

const ACTIONS = new WeakMap<object, string>();

/**
 * The one way a request goes, for every method, once `admission.ts` has let its caller in: authorize, validate, run, audit,
 * map the error. The answer leaves only when the audit entry is written, and each answer carries `minikms-request-id`,
 * each error `minikms-code`.
 */
export function unary<Req, Res>(method: Method<Req, Res>, server: Unary): handleUnaryCall<Buffer, Buffer> {
  const handler: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const event = callEvent(method.action, undefined);
    let result: Res | Promise<Res>;
    try {
      const principal = principalOf(call.metadata);
      event.principal = principal;
      const request = decodeRequest(method.request, call.request, method.bounds);
      event.tenantId = method.tenant(request);
      event.scopeId = method.scope(request);
      server.authorize(principal, method.permissions, event.tenantId, event.scopeId);
      method.validate(request);
      result = method.run(request, { principal, stopIfCancelled: () => stopIfCancelled(call) });
    } catch (error) {
      fail(server.audit, () => call.getPeer(), event, error, callback);
      return;
    }
    if (result instanceof Promise) {
      result.then(
        (response) => succeed(server, method, call, event, response, callback),
        (error: unknown) => fail(server.audit, () => call.getPeer(), event, error, callback),
      );
    } else succeed(server, method, call, event, result, callback);
  };
  ACTIONS.set(handler, method.action);
  return handler;
}

/** What the audit log calls the method of a handler that {@link unary} made. */
export function actionOf(handler: unknown): string | undefined {
  return typeof handler === 'function' ? ACTIONS.get(handler) : undefined;
}

export function callEvent(action: string, principal: Principal | undefined): CallEvent {
  return {
    action,
    requestId: `${REQUEST_ID_PREFIX}-${(++requests).toString(36)}`,
    principal,
    tenantId: '',
    scopeId: '',
  };
}

function succeed<Req, Res>(
  server: Unary,
  method: Method<Req, Res>,
  call: ServerUnaryCall<Buffer, Buffer>,
  event: CallEvent,
  response: Res,
  callback: sendUnaryData<Buffer>,
): void {
  let written: Promise<void> | undefined;
  let bytes: Buffer;
  try {
    bytes = method.encode(response);
    written = server.audit.record(event, undefined, undefined);
  } catch (error) {
    fail(server.audit, () => call.getPeer(), event, error, callback);
    return;
  }
  const answer = (): void => callback(null, bytes, trailer(event));
  if (written === undefined) answer();
  else written.then(answer, (error: unknown) => refuse(event, error, callback));
}

/** Writes down that a call failed, then answers it with the status that stands for the error. */
export function fail(
  audit: Audit,
  peer: () => string,
  event: CallEvent,
  error: unknown,
  answer: (status: StatusObject) => void,
): void {
  let written: Promise<void> | undefined;
  try {
    written = audit.record(event, failureOf(error), { error, peer: peer() });
  } catch (cause) {
    refuse(event, cause, answer);
    return;
  }
  if (written === undefined) refuse(event, error, answer);
  else
    written.then(
      () => refuse(event, error, answer),
      (cause: unknown) => refuse(event, cause, answer),
    );
}

function refuse(event: CallEvent, error: unknown, answer: (status: StatusObject) => void): void {
  const failure = failureOf(error);
  const metadata = trailer(event);
  metadata.set('minikms-code', failure.code);
  answer({ code: failure.status, details: failure.message, metadata });
}

function trailer(event: CallEvent): Metadata {
  const metadata = new Metadata();
  metadata.set('minikms-request-id', event.requestId);
  return metadata;
}

function stopIfCancelled(call: ServerUnaryCall<Buffer, Buffer>): void {
  if (call.cancelled) throw new ServerError('CANCELLED', 'the caller left before the answer was ready');
}
