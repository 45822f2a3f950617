import { type ClientUnaryCall, type requestCallback, status } from '@grpc/grpc-js';
import { failure, MiniKmsError } from './errors.ts';
import { type AuditPosition, auditPosition } from './position.ts';

/** A method of a generated service definition. */
export interface UnaryMethod {
  readonly path: string;
  requestSerialize(request: never): Buffer;
  responseDeserialize(bytes: Buffer): unknown;
}

/** A generated message that fills in defaults. */
interface Fillable {
  fromPartial(object: never): unknown;
}

/** The fields of a message that the caller cares about; the others have their defaults. */
export type Fields<T> = T extends Uint8Array
  ? Uint8Array
  : T extends readonly (infer Item)[]
    ? readonly Fields<Item>[]
    : T extends object
      ? { readonly [K in keyof T]?: Fields<T[K]> | undefined }
      : T;

export interface CallSettings {
  /** Milliseconds for this call. */
  readonly deadlineMs?: number;
  /** Cancels the call: it ends with a {@link MiniKmsError}, code `CANCELLED`. */
  readonly signal?: AbortSignal;
  /** Told where the audit entry of the call stands, when it succeeded; a failure has `auditPosition`. */
  readonly onAudited?: (position: AuditPosition) => void;
}

/**
 * A function for each RPC: takes the fields that matter, returns the response, throws {@link MiniKmsError}, or a
 * `TypeError` for a string that no server could have been sent.
 */
export type Calls<D extends Readonly<Record<string, UnaryMethod>>, R extends Readonly<Record<keyof D, Fillable>>> = {
  readonly [M in keyof D]: (
    request: Fields<ReturnType<R[M]['fromPartial']>>,
    settings?: CallSettings,
  ) => Promise<ReturnType<D[M]['responseDeserialize']>>;
};

export type Invoke = (
  method: {
    readonly path: string;
    readonly requestSerialize: (request: unknown) => Buffer;
    readonly responseDeserialize: (bytes: Buffer) => unknown;
  },
  request: unknown,
  settings: CallSettings | undefined,
  done: requestCallback<unknown>,
) => ClientUnaryCall;

export function calls<D extends Readonly<Record<string, UnaryMethod>>, R extends Readonly<Record<keyof D, Fillable>>>(
  definition: D,
  requests: R,
  invoke: Invoke,
): Calls<D, R> {
  const made: Record<string, (request: never, settings?: CallSettings) => Promise<unknown>> = {};
  for (const name of Object.keys(definition)) {
    const method = definition[name] as unknown as Parameters<Invoke>[0];
    made[name] = (request, settings) =>
      new Promise((resolve, reject) => {
        if (settings?.signal?.aborted === true) throw failure(status.CANCELLED, 'cancelled before the call was made');
        const filled = (requests[name] as Fillable).fromPartial(request);
        requireText(filled);
        const call = invoke(method, filled, settings, (error, response) => {
          settings?.signal?.removeEventListener('abort', cancel);
          if (error === null) resolve(response);
          else reject(new MiniKmsError(error));
        });
        const cancel = (): void => call.cancel();
        const told = settings?.onAudited;
        if (told !== undefined) {
          call.once('status', ({ code, metadata }) => {
            const position = code === status.OK ? auditPosition(metadata) : undefined;
            if (position !== undefined) told(position);
          });
        }
        settings?.signal?.addEventListener('abort', cancel, { once: true });
      });
  }
  return made as Calls<D, R>;
}

/** UTF-8 has no lone surrogates. Encoders replace them, which would make one aad, or one tenant, of different strings. */
export function requireText(message: unknown): void {
  if (typeof message !== 'object' || message === null || message instanceof Uint8Array) return;
  for (const [name, value] of Object.entries(message)) {
    if (typeof value === 'string' && !value.isWellFormed()) throw new TypeError(`${name} holds a lone surrogate`);
    if (typeof value === 'object') requireText(value);
  }
}
