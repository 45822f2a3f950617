import { Metadata, Server, ServerCredentials, type ServerWritableStream, status } from '@grpc/grpc-js';
import {
  AuditServiceService,
  type ExportLogRequest,
  type ExportLogResponse,
  KMSServiceService,
  VerifyChainResponse,
} from '@minikms/protocol';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type AuditPosition, connect, type MiniKms, MiniKmsError } from '../src/index.ts';

let server: Server;
let minikms: MiniKms;
let exporting: (call: ServerWritableStream<ExportLogRequest, ExportLogResponse>) => void;
let position: string;

beforeEach(async () => {
  server = new Server();
  position = 'acme#17';
  const trailer = (): Metadata => {
    const metadata = new Metadata();
    metadata.set('minikms-audit-position', position);
    return metadata;
  };
  server.addService(
    { exportLog: AuditServiceService.exportLog, verifyChain: AuditServiceService.verifyChain },
    {
      exportLog: (call: ServerWritableStream<ExportLogRequest, ExportLogResponse>) => exporting(call),
      verifyChain: (_: unknown, done: (error: null, answer: VerifyChainResponse, trailer: Metadata) => void) =>
        done(null, VerifyChainResponse.fromPartial({ valid: true, entriesChecked: 17n }), trailer()),
    },
  );
  server.addService(
    { decrypt: KMSServiceService.decrypt },
    {
      decrypt: (_: unknown, done: (error: object) => void) =>
        done({ code: status.INVALID_ARGUMENT, details: 'no', metadata: trailer() }),
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  minikms = connect({ address: `127.0.0.1:${port}` });
});

afterEach(() => {
  minikms.close();
  server.forceShutdown();
});

const lines = (text: string): ExportLogResponse => ({ lines: Buffer.from(text) });

test('there is a function for each RPC of AuditService', () => {
  expect(Object.keys(minikms.audit).toSorted()).toEqual(Object.keys(AuditServiceService).toSorted());
});

test('a call tells where its entry stands, when it is asked to', async () => {
  const told: AuditPosition[] = [];
  const settings = { onAudited: (one: AuditPosition) => void told.push(one) };
  expect((await minikms.audit.verifyChain({ orgId: 'acme' }, settings)).entriesChecked).toBe(17n);
  expect(told).toEqual([{ orgId: 'acme', seq: 17n }]);
});

test.each(['', 'acme', 'acme#', 'acme#x', '#1', `acme#${'1'.repeat(17)}`])('%j is no position', async (text) => {
  position = text;
  const told: AuditPosition[] = [];
  await minikms.audit.verifyChain({}, { onAudited: (one) => void told.push(one) });
  expect(told).toEqual([]);
});

test('a failure tells it too', async () => {
  const error: unknown = await minikms.kms.decrypt({}).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(MiniKmsError);
  expect(error).toMatchObject({ auditPosition: { orgId: 'acme', seq: 17n } });
});

test('an export comes in the order in which it was sent', async () => {
  exporting = (call) => {
    expect(call.request).toEqual({ orgId: 'acme', afterSeq: 5n });
    call.write(lines('one\n'));
    call.write(lines('two\n'));
    call.end();
  };
  const got: string[] = [];
  for await (const chunk of minikms.audit.exportLog({ orgId: 'acme', afterSeq: 5n })) got.push(chunk.toString());
  expect(got.join('')).toBe('one\ntwo\n');
});

test('an export that fails half-way throws after what came before', async () => {
  exporting = (call) => {
    call.write(lines('one\n'));
    call.emit('error', { code: status.UNAVAILABLE, details: 'gone', metadata: new Metadata() });
  };
  const got: string[] = [];
  const read = async (): Promise<void> => {
    for await (const chunk of minikms.audit.exportLog({ orgId: 'acme' })) got.push(chunk.toString());
  };
  await expect(read()).rejects.toMatchObject({ name: 'MiniKmsError', code: 'UNAVAILABLE', message: 'gone' });
  expect(got).toEqual(['one\n']);
});

test('leaving the loop, or aborting, cancels the export', async () => {
  const cancelled: Promise<void>[] = [];
  exporting = (call) => {
    cancelled.push(new Promise((resolve) => call.once('cancelled', resolve)));
    call.write(lines('one\n'));
  };
  for await (const _ of minikms.audit.exportLog({ orgId: 'acme' })) break;
  const abort = new AbortController();
  const read = async (): Promise<void> => {
    for await (const _ of minikms.audit.exportLog({ orgId: 'acme' }, { signal: abort.signal })) abort.abort();
  };
  await expect(read()).rejects.toMatchObject({ code: 'CANCELLED' });
  await Promise.all(cancelled);
  expect(cancelled).toHaveLength(2);
});
