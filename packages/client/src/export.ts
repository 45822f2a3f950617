import { type CallOptions, type ClientReadableStream, type ServiceError, status } from '@grpc/grpc-js';
import type { ExportLogRequest, ExportLogResponse } from '@minikms/protocol';
import { type CallSettings, type Fields, requireText } from './calls.ts';
import { failure, MiniKmsError } from './errors.ts';

/** The lines of an export as they arrive; reads no faster than they are taken. */
export async function* exportLog(
  request: Fields<ExportLogRequest>,
  settings: CallSettings | undefined,
  start: (request: ExportLogRequest, options: CallOptions) => ClientReadableStream<ExportLogResponse>,
): AsyncGenerator<Uint8Array> {
  const { deadlineMs, signal } = settings ?? {};
  if (signal?.aborted === true) throw failure(status.CANCELLED, 'cancelled before the call was made');
  const { orgId = '', afterSeq = 0n } = request;
  const filled = { orgId, afterSeq };
  requireText(filled);
  const call = start(filled, deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs });
  const cancel = (): void => call.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    for await (const { lines } of call as AsyncIterable<ExportLogResponse>) yield lines;
  } catch (error) {
    throw error instanceof MiniKmsError ? error : new MiniKmsError(error as ServiceError);
  } finally {
    signal?.removeEventListener('abort', cancel);
    call.cancel();
  }
}
