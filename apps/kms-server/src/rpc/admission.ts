import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Metadata, ServerInterceptingCallInterface, ServerInterceptor } from '@grpc/grpc-js';
import { ServerError } from '../errors.ts';
import type { Audit } from './audit.ts';
import { type Identify, type Principal, remember } from './identify.ts';
import { callEvent, fail } from './unary.ts';

/** A message to an open method: the name of a service fits many times over. */
const OPEN_RECEIVE_LIMIT = 4096;
/** The time that a request may take is kept in as many steps. */
const STEPS = 10;
/** After its answer, a caller may end a request that it was sending. */
const GRACE_MS = 1000;

export interface AdmissionOptions {
  readonly identify: Identify;
  readonly audit: Audit;
  /** Methods, by path, that need no credentials; they get no principal, and messages of 4 KiB at most. */
  readonly isOpen: (path: string) => boolean;
  /** What the audit log calls a method. */
  readonly actionOf: (path: string) => string;
  /** How long a request may take to arrive, to a tenth. */
  readonly bodyMs: number;
}

type Call = ServerInterceptingCallInterface;
type Listener = Parameters<Call['start']>[0];
type Status = Parameters<Call['sendStatus']>[0];

/** The parts of a call of grpc-js (its version is fixed) that have no public name; tests watch over them. */
interface Inside {
  readonly stream?: ServerHttp2Stream;
  maxReceiveMessageSize?: number;
  readonly decoder?: { maxReadMessageLength: number };
}

/**
 * Decides about each call when its headers are there: nothing of a stranger's request is read, and the request of a
 * caller has to arrive within a limited time. A call that ends before its request did takes its stream with it.
 */
export class Admission {
  readonly interceptor: ServerInterceptor;
  readonly options: AdmissionOptions;
  readonly #timer: NodeJS.Timeout;
  /** Calls whose request has not arrived, the oldest first: a list through the calls, and one timer for all of them. */
  #first: AdmittedCall | undefined;
  #last: AdmittedCall | undefined;
  #step = 0;

  constructor(options: AdmissionOptions) {
    this.options = options;
    const intercept = ({ path, requestStream }: { path: string; requestStream: boolean }, call: Call): Call => {
      const open = options.isOpen(path);
      // A request that is a stream has no end to wait for; only reflection has such.
      return open && requestStream ? call : new AdmittedCall(this, call, path, open);
    };
    // The type demands the class where the interface is all that is used.
    this.interceptor = intercept as unknown as ServerInterceptor;
    this.#timer = setInterval(() => this.#expire(), options.bodyMs / STEPS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  expect(call: AdmittedCall): void {
    call.since = this.#step;
    call.before = this.#last;
    if (this.#last === undefined) this.#first = call;
    else this.#last.after = call;
    this.#last = call;
  }

  /** Of a call that is expected, once. */
  forget(call: AdmittedCall): void {
    call.since = -1;
    if (call.before === undefined) this.#first = call.after;
    else call.before.after = call.after;
    if (call.after === undefined) this.#last = call.before;
    else call.after.before = call.before;
    call.before = undefined;
    call.after = undefined;
  }

  #expire(): void {
    this.#step++;
    for (let call = this.#first; call !== undefined && this.#step - call.since > STEPS; call = this.#first)
      call.expire();
  }
}

/** Between the server's end of a call and its handler, in both directions. */
class AdmittedCall implements ServerInterceptingCallInterface, Listener {
  /** Of {@link Admission}: the step at which it was expected, or -1, and its neighbours. */
  since = -1;
  before: AdmittedCall | undefined = undefined;
  after: AdmittedCall | undefined = undefined;
  readonly #admission: Admission;
  readonly #call: Call;
  readonly #path: string;
  readonly #open: boolean;
  #listener: Listener | undefined;
  #principal: Principal | undefined;
  #arrived = false;
  #over = false;

  constructor(admission: Admission, call: Call, path: string, open: boolean) {
    this.#admission = admission;
    this.#call = call;
    this.#path = path;
    this.#open = open;
  }

  start(listener: Listener): void {
    this.#listener = listener;
    this.#call.start(this);
  }

  onReceiveMetadata(metadata: Metadata): void {
    if (this.#open) this.#limitMessage();
    else {
      try {
        this.#principal = this.#admission.options.identify(metadata, () => this.#socket());
      } catch (error) {
        this.#fail(error);
        return;
      }
      remember(metadata, this.#principal);
    }
    this.#admission.expect(this);
    this.#listener?.onReceiveMetadata(metadata);
  }

  onReceiveMessage(message: unknown): void {
    if (!this.#over) this.#listener?.onReceiveMessage(message);
  }

  onReceiveHalfClose(): void {
    // A stream that closes looks to grpc-js as if the request had ended well.
    if (this.#over) return;
    this.#arrived = true;
    this.#forget();
    this.#listener?.onReceiveHalfClose();
  }

  /** Comes once, however the call ended. */
  onCancel(): void {
    this.#over = true;
    if (!this.#arrived) {
      this.#forget();
      this.#dropRest();
    }
    this.#listener?.onCancel();
  }

  expire(): void {
    this.#forget();
    this.#fail(new ServerError('CANCELLED', 'the request took too long to arrive'));
  }

  sendMetadata(metadata: Metadata): void {
    this.#call.sendMetadata(metadata);
  }
  sendMessage(message: unknown, callback: () => void): void {
    this.#call.sendMessage(message, callback);
  }
  sendStatus(status: Status): void {
    this.#call.sendStatus(status);
  }
  startRead(): void {
    this.#call.startRead();
  }
  getPeer(): string {
    return this.#call.getPeer();
  }
  getDeadline(): ReturnType<Call['getDeadline']> {
    return this.#call.getDeadline();
  }
  getHost(): string {
    return this.#call.getHost();
  }
  getAuthContext(): ReturnType<Call['getAuthContext']> {
    return this.#call.getAuthContext();
  }
  getConnectionInfo(): ReturnType<Call['getConnectionInfo']> {
    return this.#call.getConnectionInfo();
  }
  getMetricsRecorder(): ReturnType<Call['getMetricsRecorder']> {
    return this.#call.getMetricsRecorder();
  }

  /** Drops what has not been sent; the caller sees a cancelled call. */
  reset(): void {
    inside(this.#call).stream?.close(constants.NGHTTP2_CANCEL);
  }

  #forget(): void {
    if (this.since >= 0) this.#admission.forget(this);
  }

  #fail(error: unknown): void {
    this.#over = true;
    const { actionOf, audit } = this.#admission.options;
    const event = callEvent(actionOf(this.#path), this.#principal, () => this.getPeer());
    fail(audit, event, error, (status) => this.sendStatus(status));
  }

  /** grpc-js would read on, and throw away, as long as somebody sends. */
  #dropRest(): void {
    const stream = inside(this.#call).stream;
    if (stream === undefined || stream.closed) return;
    // Not at once: closing overtakes an answer that has not been sent.
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), GRACE_MS).unref();
    stream.once('close', () => clearTimeout(timer));
  }

  #socket(): Socket | undefined {
    return inside(this.#call).stream?.session?.socket;
  }

  /** Before and after decompression. */
  #limitMessage(): void {
    const call = inside(this.#call);
    call.maxReceiveMessageSize = OPEN_RECEIVE_LIMIT;
    if (call.decoder !== undefined) call.decoder.maxReadMessageLength = OPEN_RECEIVE_LIMIT;
  }
}

/** Ends a call, as grpc-js hands it to a method, whatever of its answer waits to be read. */
export function resetStream(call: object): void {
  const admitted = (call as { readonly call?: unknown }).call;
  if (admitted instanceof AdmittedCall) admitted.reset();
}

function inside(call: Call): Inside {
  return call as unknown as Inside;
}
