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
export type Permission = 'audit:read' | 'kms:decrypt' | 'kms:encrypt' | 'kms:manage';

/** What a method's function gets besides the request. */
export interface Context {
  readonly principal: Principal;
  /** What the audit log will say of this call. */
  readonly event: CallEvent;
  /** @throws ServerError `CANCELLED` when the caller left or its deadline passed: to be called after each wait. */
  stopIfCancelled(): void;
}

/** What the server knows of an RPC of either kind. */
export interface AnyMethod<Req> {
  readonly request: Codec<Req>;
  /** How many fields a request may have. */
  readonly bounds: FieldBounds;
  readonly permissions: readonly Permission[];
  /** What the audit log calls it. */
  readonly action: string;
  readonly tenant: (request: Req) => string;
  readonly scope: (request: Req) => string;
  /** @throws ServerError or HierarchyError for a request that breaks a rule. */
  readonly validate: (request: Req) => void;
}

/** A row of the method table. */
export interface Method<Req, Res> extends AnyMethod<Req> {
  /** The bytes of a response. */
  readonly encode: (response: Res) => Buffer;
  readonly run: (request: Req, context: Context) => Res | Promise<Res>;
  /** What the audit log says of a call besides (`CallEvent.facts`); without a response the call failed. */
  readonly facts: (request: Req, response: Res | undefined, event: CallEvent) => string;
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
 * map the error. The answer leaves only when the audit entry is written, and each answer carries `minikms-request-id` and
 * `minikms-audit-position`, each error `minikms-code`.
 */
export function unary<Req, Res>(method: Method<Req, Res>, server: Unary): handleUnaryCall<Buffer, Buffer> {
  const handler: handleUnaryCall<Buffer, Buffer> = (call, callback) => {
    const event = callEvent(method.action, undefined, () => call.getPeer());
    let request: Req;
    let result: Res | Promise<Res>;
    try {
      request = admitted(method, server, call, event);
    } catch (error) {
      fail(server.audit, event, error, callback);
      return;
    }
    const failed = (error: unknown): void => {
      event.facts = method.facts(request, undefined, event);
      fail(server.audit, event, error, callback);
    };
    try {
      result = method.run(request, contextOf(call, event));
    } catch (error) {
      failed(error);
      return;
    }
    if (result instanceof Promise) {
      result.then((response) => succeed(server, method, event, request, response, callback), failed);
    } else succeed(server, method, event, request, result, callback);
  };
  return named(handler, method.action);
}

/** Notes what the audit log calls the method of a handler. */
export function named<Handler extends object>(handler: Handler, action: string): Handler {
  ACTIONS.set(handler, action);
  return handler;
}

/** What the audit log calls the method of a handler, as {@link named} noted. */
export function actionOf(handler: unknown): string | undefined {
  return typeof handler === 'function' ? ACTIONS.get(handler) : undefined;
}

export function callEvent(action: string, principal: Principal | undefined, peer: () => string): CallEvent {
  return {
    action,
    requestId: `${REQUEST_ID_PREFIX}-${(++requests).toString(36)}`,
    principal,
    tenantId: '',
    scopeId: '',
    keyVersionId: undefined,
    facts: '',
    peer,
    position: undefined,
  };
}

type AnyCall = Pick<ServerUnaryCall<Buffer, Buffer>, 'cancelled' | 'metadata' | 'request'>;

/** The request of a call whose caller may make it. Throws what the call is refused with. */
export function admitted<Req>(method: AnyMethod<Req>, server: Unary, call: AnyCall, event: CallEvent): Req {
  const principal = principalOf(call.metadata);
  event.principal = principal;
  const request = decodeRequest(method.request, call.request, method.bounds);
  event.tenantId = method.tenant(request);
  event.scopeId = method.scope(request);
  server.authorize(principal, method.permissions, event.tenantId, event.scopeId);
  method.validate(request);
  return request;
}

/** Of an admitted call. */
export function contextOf(call: AnyCall, event: CallEvent): Context {
  const { principal } = event;
  if (principal === undefined) throw new ServerError('UNAUTHENTICATED', 'the caller is not known');
  return {
    principal,
    event,
    stopIfCancelled() {
      if (call.cancelled) throw new ServerError('CANCELLED', 'the caller left before the answer was ready');
    },
  };
}

function succeed<Req, Res>(
  server: Unary,
  method: Method<Req, Res>,
  event: CallEvent,
  request: Req,
  response: Res,
  callback: sendUnaryData<Buffer>,
): void {
  let written: Promise<void> | undefined;
  let bytes: Buffer;
  try {
    event.facts = method.facts(request, response, event);
    bytes = method.encode(response);
    written = server.audit.record(event, undefined, undefined);
  } catch (error) {
    fail(server.audit, event, error, callback);
    return;
  }
  const answer = (): void => callback(null, bytes, trailer(event));
  if (written === undefined) answer();
  else
    written.then(answer, (error: unknown) => {
      bytes.fill(0);
      refuse(event, error, callback);
    });
}

/** Writes down that a call failed, then answers it with the status that stands for the error. */
export function fail(audit: Audit, event: CallEvent, error: unknown, answer: (status: StatusObject) => void): void {
  let written: Promise<void> | undefined;
  try {
    written = audit.record(event, failureOf(error), error);
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

/** Answers a call with the status that stands for the error. */
export function refuse(event: CallEvent, error: unknown, answer: (status: StatusObject) => void): void {
  const failure = failureOf(error);
  const metadata = trailer(event);
  metadata.set('minikms-code', failure.code);
  answer({ code: failure.status, details: failure.message, metadata });
}

/** The id of a request, and where its audit entry stands: tenant, `#` (which no tenant id holds) and seq. */
export function trailer({ position, requestId }: CallEvent): Metadata {
  const metadata = new Metadata();
  metadata.set('minikms-request-id', requestId);
  if (position !== undefined) metadata.set('minikms-audit-position', `${position.tenantId}#${position.seq}`);
  return metadata;
}
