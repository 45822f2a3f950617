import type { handleServerStreamingCall, ServerWritableStream, StatusObject } from '@grpc/grpc-js';
import type { CallEvent } from './audit.ts';
import {
  admitted,
  type AnyMethod,
  callEvent,
  type Context,
  contextOf,
  fail,
  named,
  refuse,
  trailer,
  type Unary,
} from './unary.ts';

/** A row of the method table, for an RPC that answers with a stream. */
export interface StreamMethod<Req, Res> extends AnyMethod<Req> {
  readonly encode: (response: Res) => Buffer;
  /** Made and read only when the audit entry is written, and no faster than the caller reads. */
  readonly stream: (request: Req, context: Context) => AsyncIterable<Res>;
  /** What the audit log says of a call besides (`CallEvent.facts`). */
  readonly facts: (request: Req, response: undefined, event: CallEvent) => string;
}

/** As `unary`. The entry is written before the first message leaves; a stream that then fails has a second one. */
export function serverStream<Req, Res>(
  method: StreamMethod<Req, Res>,
  server: Unary,
): handleServerStreamingCall<Buffer, Buffer> {
  const answer = async (call: ServerWritableStream<Buffer, Buffer>): Promise<void> => {
    const event = callEvent(method.action, undefined, () => call.getPeer());
    const end = (status: StatusObject): void => void call.emit('error', status);
    let request: Req;
    try {
      request = admitted(method, server, call, event);
    } catch (error) {
      fail(server.audit, event, error, end);
      return;
    }
    event.facts = method.facts(request, undefined, event);
    try {
      await server.audit.record(event, undefined, undefined);
    } catch (error) {
      refuse(event, error, end);
      return;
    }
    try {
      const context = contextOf(call, event);
      for await (const response of method.stream(request, context)) {
        context.stopIfCancelled();
        if (!call.write(method.encode(response))) await drained(call);
      }
      context.stopIfCancelled();
      call.end(trailer(event));
    } catch (error) {
      event.position = undefined;
      fail(server.audit, event, error, end);
    }
  };
  return named((call: ServerWritableStream<Buffer, Buffer>): void => void answer(call), method.action);
}

/** Resolves when the caller has read, or is gone. */
function drained(call: ServerWritableStream<Buffer, Buffer>): Promise<void> {
  return new Promise((resolve) => {
    const events = ['drain', 'cancelled', 'close', 'error'] as const;
    const done = (): void => {
      for (const event of events) call.off(event, done);
      resolve();
    };
    for (const event of events) call.on(event, done);
    if (call.cancelled || !call.writableNeedDrain) done();
  });
}
