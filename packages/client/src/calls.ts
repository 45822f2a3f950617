import type { ClientUnaryCall, requestCallback } from '@grpc/grpc-js';
import { MiniKmsError } from './errors.ts';

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

export interface CallSettings {
  /** Milliseconds for this call. */
  readonly deadlineMs?: number;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
}

/** A function for each RPC: takes the fields that matter, returns the response, throws {@link MiniKmsError}. */
export type Calls<D extends Readonly<Record<string, UnaryMethod>>, R extends Readonly<Record<keyof D, Fillable>>> = {
  readonly [M in keyof D]: (
    request: Parameters<R[M]['fromPartial']>[0],
    settings?: CallSettings,
  ) => Promise<ReturnType<D[M]['responseDeserialize']>>;
};

export type Invoke = (
  method: { path: string; requestSerialize(request: unknown): Buffer; responseDeserialize(bytes: Buffer): unknown },
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
        settings?.signal?.throwIfAborted();
        const filled = (requests[name] as Fillable).fromPartial(request);
        const call = invoke(method, filled, settings, (error, response) => {
          settings?.signal?.removeEventListener('abort', cancel);
          if (error === null) resolve(response);
          else reject(new MiniKmsError(error));
        });
        const cancel = (): void => call.cancel();
        settings?.signal?.addEventListener('abort', cancel, { once: true });
      });
  }
  return made as Calls<D, R>;
}
