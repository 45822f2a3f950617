import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { Client, credentials, Metadata, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { testDatabase } from '@minikms/dev-postgres';
import { EncryptRequest, KMSServiceService } from '@minikms/protocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Admission } from '../src/rpc/admission.ts';
import { identifier, principalOf } from '../src/rpc/identify.ts';
import { serve, type TestServer } from './server.ts';

const TOKEN = randomBytes(32).toString('hex');
const DIGEST = createHash('sha256').update(TOKEN).digest();
const ENCRYPT = '/minikms.v1.KMSService/Encrypt';
const CHECK = '/grpc.health.v1.Health/Check';
const scope = { tenantId: 'acme', scopeId: 'app' };
const frame = (message: Buffer, compressed = 0): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
};

interface Ended {
  readonly headers: IncomingHttpHeaders;
  readonly answeredMs: number;
  readonly closedMs: number;
}

/** Opens a call over plain HTTP/2, sends these bytes, and never ends it. */
function open(
  session: ClientHttp2Session,
  path: string,
  bytes: Buffer,
  more: IncomingHttpHeaders = {},
): Promise<Ended> {
  const began = performance.now();
  const stream = session.request(
    { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...more },
    { endStream: false },
  );
  stream.write(bytes);
  stream.resume();
  let headers: IncomingHttpHeaders = {};
  let answeredMs = NaN;
  const take = (given: IncomingHttpHeaders): void => {
    headers = { ...headers, ...given };
    answeredMs = performance.now() - began;
  };
  stream.on('response', take).on('trailers', take);
  return new Promise((resolve, reject) => {
    stream.on('error', reject);
    stream.on('close', () => resolve({ headers, answeredMs, closedMs: performance.now() - began }));
  });
}

describe('a caller without a token', () => {
  let database: Awaited<ReturnType<typeof testDatabase>>;
  let server: TestServer;
  let session: ClientHttp2Session;
  beforeAll(async () => {
    database = await testDatabase();
    server = await serve(
      { MINIKMS_DB_URL: database.url, MINIKMS_OPERATOR_TOKEN_SHA256: DIGEST.toString('hex') },
      { args: [], connect: { token: TOKEN } },
    );
    // Node bounds what a client may have waiting, in MB.
    session = connectHttp2(`http://127.0.0.1:${server.port}`, { maxSessionMemory: 2000 });
    await once(session, 'connect');
  });
  afterAll(async () => {
    session.destroy();
    await server.stop();
    await database.drop();
  });

  it('is refused when the headers are there; what follows is not kept, and the stream ends', async () => {
    const large = Buffer.alloc(7_900_000);
    large.writeUInt32BE(8_000_000, 1);
    const streams = Array.from({ length: 100 }, () => open(session, ENCRYPT, large));
    for (const { headers, answeredMs, closedMs } of await Promise.all(streams)) {
      expect(headers).toMatchObject({
        'grpc-status': String(status.UNAUTHENTICATED),
        'minikms-code': 'UNAUTHENTICATED',
      });
      expect(headers['minikms-request-id']).toMatch(/^[0-9a-f]{12}-/);
      expect(answeredMs).toBeLessThan(2000);
      expect(closedMs).toBeLessThan(10_000);
    }
    // The connection is as good as before, and so is the server.
    const again = await open(session, ENCRYPT, Buffer.alloc(1));
    expect(again.headers['grpc-status']).toBe(String(status.UNAUTHENTICATED));
    await server.client.kms.encrypt(scope);
  });

  it('leaves a bounded number of lines in the log, by the method it called, and the count of the rest', async () => {
    // The second of the test before.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const before = server.output().length;
    const raw = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
    const same = (value: Buffer): Buffer => value;
    const call = (): Promise<number | undefined> =>
      new Promise((resolve) => {
        raw.makeUnaryRequest(KMSServiceService.rotateDataKey.path, same, same, Buffer.alloc(0), (e) =>
          resolve(e?.code),
        );
      });
    const codes = await Promise.all(Array.from({ length: 500 }, call));
    expect(new Set(codes)).toEqual(new Set([status.UNAUTHENTICATED]));
    raw.close();
    const lines = (): Record<string, unknown>[] =>
      server
        .output()
        .slice(before)
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    await expect
      .poll(() => lines().filter(({ msg }) => msg === 'more calls refused').length, { timeout: 10_000 })
      .toBeGreaterThan(0);
    const written = lines().filter(({ msg }) => msg === 'call refused');
    // One window, or two.
    expect(written.length).toBeLessThanOrEqual(60);
    expect(written[0]).toMatchObject({ action: 'kms.key.rotate', code: 'UNAUTHENTICATED' });
    const leftOut = (): number =>
      lines().reduce((sum, line) => sum + ((line['leftOut'] as Record<string, number>)?.['UNAUTHENTICATED'] ?? 0), 0);
    await expect.poll(() => written.length + leftOut(), { timeout: 10_000 }).toBeGreaterThanOrEqual(500);
  });

  it('may ask for health, in a small message only, compressed or not', async () => {
    const large = await open(session, CHECK, frame(Buffer.alloc(5000)));
    expect(large.headers['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
    const announced = await open(session, CHECK, Buffer.from([0, 0, 0x7f, 0xff, 0xff]));
    expect(announced.headers['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
    const bomb = await open(session, CHECK, frame(gzipSync(Buffer.alloc(1_000_000)), 1), { 'grpc-encoding': 'gzip' });
    expect(bomb.headers['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
    const raw = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
    const same = (value: Buffer): Buffer => value;
    const answer = await new Promise((resolve) =>
      raw.makeUnaryRequest(CHECK, same, same, Buffer.alloc(0), (error, value) => resolve(error ?? value)),
    );
    raw.close();
    expect(answer).toEqual(Buffer.from([8, 1]));
  });

  it('gets nothing by two tokens of which one is right', async () => {
    const authorization = `Bearer ${TOKEN}, Bearer x`;
    const { headers } = await open(session, ENCRYPT, Buffer.alloc(1), { authorization });
    expect(headers['grpc-status']).toBe(String(status.UNAUTHENTICATED));
  });
});

describe('a caller with a token', () => {
  const authorization = `Bearer ${TOKEN}`;
  const failures: (string | undefined)[] = [];
  let server: Server;
  let admission: Admission;
  let session: ClientHttp2Session;
  let port: number;
  let served = 0;
  beforeEach(async () => {
    failures.length = 0;
    served = 0;
    admission = new Admission({
      identify: identifier({ operatorTokenSha256: DIGEST, allowAnonymous: false, checksCertificates: false }),
      audit: { record: (_event, failure) => void failures.push(failure?.code) },
      isOpen: () => false,
      actionOf: (path) => path,
      bodyMs: 500,
    });
    server = new Server({ interceptors: [admission.interceptor] });
    const same = (value: Buffer): Buffer => value;
    const encrypt = { ...KMSServiceService.encrypt, requestDeserialize: same, responseSerialize: same };
    server.addService(
      { encrypt } as unknown as typeof KMSServiceService,
      {
        encrypt: (call: { metadata: Metadata; request: Buffer }, callback: (error: null, value: Buffer) => void) => {
          served++;
          expect(principalOf(call.metadata).id).toBe('operator');
          // Longer than a request may take: that bounds its arrival, not the answer.
          setTimeout(() => callback(null, call.request), 1000);
        },
      } as unknown as Parameters<Server['addService']>[1],
    );
    port = await new Promise((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (e, p) => (e ? reject(e) : resolve(p)));
    });
    session = connectHttp2(`http://127.0.0.1:${port}`);
    await once(session, 'connect');
  });
  afterEach(() => {
    session.destroy();
    admission.close();
    server.forceShutdown();
  });

  it.each([
    ['a part of a message', Buffer.from([0, 0, 0, 0, 9, 1, 2])],
    ['a message without an end', frame(Buffer.from('whole'))],
    ['nothing', Buffer.alloc(0)],
  ])('has its request ended after the limit when it sends %s', async (_, bytes) => {
    const streams = Array.from({ length: 20 }, () => open(session, ENCRYPT, bytes, { authorization }));
    for (const { headers, answeredMs, closedMs } of await Promise.all(streams)) {
      expect(headers).toMatchObject({ 'grpc-status': String(status.CANCELLED), 'minikms-code': 'CANCELLED' });
      expect(answeredMs).toBeGreaterThan(400);
      expect(closedMs).toBeLessThan(5000);
    }
    expect(served).toBe(0);
    expect(failures).toEqual(Array.from({ length: 20 }, () => 'CANCELLED'));
  });

  it('has a request that trickles in ended all the same', async () => {
    const stream = session.request({
      ':method': 'POST',
      ':path': ENCRYPT,
      'content-type': 'application/grpc',
      authorization,
    });
    stream.on('error', () => {});
    stream.write(Buffer.from([0, 0, 1, 0, 0]));
    const timer = setInterval(() => stream.write('x'), 20);
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    clearInterval(timer);
    stream.close();
    expect(headers['grpc-status']).toBe(String(status.CANCELLED));
  });

  it('has its stream closed at its own deadline when that is earlier', async () => {
    const { headers, closedMs } = await open(session, ENCRYPT, Buffer.alloc(1), {
      authorization,
      'grpc-timeout': '50m',
    });
    expect(headers['grpc-status']).toBe(String(status.DEADLINE_EXCEEDED));
    expect(closedMs).toBeLessThan(3000);
    expect(failures).toEqual([]);
  });

  it('that leaves is forgotten', async () => {
    const stream = session.request({
      ':method': 'POST',
      ':path': ENCRYPT,
      'content-type': 'application/grpc',
      authorization,
    });
    stream.on('error', () => {});
    stream.write(Buffer.alloc(1));
    await new Promise((resolve) => setTimeout(resolve, 100));
    stream.close(8);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(failures).toEqual([]);
  });

  it('is served, however long the answer takes', async () => {
    const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set('authorization', authorization);
    const request = Buffer.from(EncryptRequest.encode(EncryptRequest.fromPartial(scope)).finish());
    const same = (value: Buffer): Buffer => value;
    const answer = await new Promise((resolve) =>
      client.makeUnaryRequest(ENCRYPT, same, same, request, metadata, (error, value) => resolve(error ?? value)),
    );
    client.close();
    expect(answer).toEqual(request);
  });
});
