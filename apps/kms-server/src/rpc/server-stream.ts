import type { handleServerStreamingCall, ServerWritableStream, StatusObject } from '@grpc/grpc-js';
import { ServerError } from '../errors.ts';
import { resetStream } from './admission.ts';
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
  /**
   * Comes before the audit entry is written: what it throws refuses the call. What it resolves with is called once, when
   * the call is over.
   */
  readonly enter: (request: Req, context: Context) => Promise<() => void>;
  /** Made and read only when the audit entry is written, and no faster than the caller reads. */
  readonly stream: (request: Req, context: Context) => AsyncIterable<Res>;
  /** What the audit log says of a call besides (`CallEvent.facts`). */
  readonly facts: (request: Req, response: undefined, event: CallEvent) => string;
}

/** How long a caller may take to read a message. */
const READ_MS = 30_000;

/** As `unary`. The entry is written before the first message leaves; a stream that then fails has a second one. */
export function serverStream<Req, Res>(
  method: StreamMethod<Req, Res>,
  server: Unary,
  readMs: number = READ_MS,
): handleServerStreamingCall<Buffer, Buffer> {
  const answer = async (call: ServerWritableStream<Buffer, Buffer>): Promise<void> => {
    const event = callEvent(method.action, undefined, () => call.getPeer());
    const end = (status: StatusObject): void => void call.emit('error', status);
    let leave = (): void => {};
    try {
      const request = admitted(method, server, call, event);
      event.facts = method.facts(request, undefined, event);
      const context = contextOf(call, event);
      leave = await method.enter(request, context);
      context.stopIfCancelled();
      try {
        await server.audit.record(event, undefined, undefined);
      } catch (error) {
        refuse(event, error, end);
        return;
      }
      for await (const response of method.stream(request, context)) {
        context.stopIfCancelled();
        await sent(call, method.encode(response), readMs);
      }
      context.stopIfCancelled();
      call.end(trailer(event));
    } catch (error) {
      event.position = undefined;
      fail(server.audit, event, error, end);
    } finally {
      leave();
    }
  };
  return named((call: ServerWritableStream<Buffer, Buffer>): void => void answer(call), method.action);
}

/**
 * Resolves when the message has left, or the caller is gone. A caller who does not read would keep its message, and all
 * that the export holds, for as long as the connection lives: then the stream is reset, since a status would wait behind
 * the message.
 *
 * @throws ServerError `CANCELLED`
 */
function sent(call: ServerWritableStream<Buffer, Buffer>, message: Buffer, readMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const events = ['cancelled', 'close', 'error'] as const;
    const done = (): void => {
      clearTimeout(timer);
      for (const event of events) call.off(event, done);
      resolve();
    };
    const timer = setTimeout(() => {
      reject(new ServerError('CANCELLED', 'the caller did not read what it asked for'));
      done();
      resetStream(call);
    }, readMs);
    for (const event of events) call.on(event, done);
    // Before the write: what is cancelled already calls nothing back.
    if (call.cancelled) done();
    else call.write(message, done);
  });
}
