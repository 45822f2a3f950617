import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { connect } from '@minikms/client';
import { testDatabase } from '@minikms/dev-postgres';
import { GetKeyInfoRequest, KMSServiceService } from '@minikms/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failure, serve, type TestServer } from './server.ts';

const TOKEN = randomBytes(32).toString('hex');
const DIGEST = createHash('sha256').update(TOKEN).digest('hex');
const scope = { tenantId: 'acme', scopeId: 'app' };
const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
const pem = (name: string) => readFileSync(fixture(name));

let database: Awaited<ReturnType<typeof testDatabase>>;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

function call(port: number, method: string, headers: readonly string[]): Promise<ServiceError | null> {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const metadata = new Metadata();
  for (const value of headers) metadata.add('authorization', value);
  const same = (value: Buffer): Buffer => value;
  const request = Buffer.from(GetKeyInfoRequest.encode(scope).finish());
  return new Promise((resolve) => {
    client.makeUnaryRequest(`/minikms.v1.KMSService/${method}`, same, same, request, metadata, (error) => {
      client.close();
      resolve(error);
    });
  });
}

describe("the operator's token", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await serve(
      { MINIKMS_DB_URL: database.url, MINIKMS_OPERATOR_TOKEN_SHA256: DIGEST },
      { args: [], connect: { token: TOKEN } },
    );
  });
  afterAll(() => server.stop());

  const methods = Object.values(KMSServiceService).map(({ path }) => path.split('/')[2] as string);

  it('lets in', async () => {
    const { ciphertext } = await server.client.kms.encrypt({ ...scope, plaintext: Buffer.from('x') });
    expect((await server.client.kms.decrypt({ ...scope, ciphertext })).plaintext.toString()).toBe('x');
  });

  it.each(methods)('is demanded by %s', async (method) => {
    const error = await call(server.port, method, []);
    expect(error).toMatchObject({ code: status.UNAUTHENTICATED });
    expect(error?.metadata.get('minikms-code')).toEqual(['UNAUTHENTICATED']);
  });

  it('is demanded before the request is looked at', async () => {
    const anonymous = connect({ address: `127.0.0.1:${server.port}` });
    expect(await failure(anonymous.kms.encrypt({ tenantId: '..' }))).toMatchObject({ code: 'UNAUTHENTICATED' });
    anonymous.close();
  });

  it('takes the scheme in any case', async () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR']) {
      expect((await call(server.port, 'CreateDataKey', [`${scheme} ${TOKEN}`]))?.code).toBeUndefined();
    }
  });

  it.each([
    ['wrong token', [`Bearer ${'0'.repeat(64)}`]],
    ['its digest', [`Bearer ${DIGEST}`]],
    ['prefix', [`Bearer ${TOKEN.slice(0, -1)}`]],
    ['suffix', [`Bearer ${TOKEN}0`]],
    ['inner space', [`Bearer ${TOKEN} x`]],
    ['padding', [`Bearer ${TOKEN}=`]],
    ['other scheme', [`Basic ${TOKEN}`]],
    ['no scheme', [TOKEN]],
    ['empty', ['']],
    ['scheme alone', ['Bearer']],
    ['joined headers', [`Bearer ${TOKEN}, Bearer ${TOKEN}`]],
    ['too long', [`Bearer ${'a'.repeat(4097)}`]],
  ])('refuses a %s, always alike', async (_, headers) => {
    expect(await call(server.port, 'CreateDataKey', headers)).toMatchObject({
      code: status.UNAUTHENTICATED,
      details: 'the credentials are not valid',
    });
  });

  it('never shows up in the log', async () => {
    await call(server.port, 'CreateDataKey', [`Bearer ${TOKEN}1`]);
    expect(server.output()).not.toContain(TOKEN.slice(0, 16));
  });

  it('has no reflection to look at', async () => {
    const error = await new Promise<ServiceError | null>((resolve) => {
      const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
      const same = (value: Buffer): Buffer => value;
      const stream = client.makeBidiStreamRequest(
        '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
        same,
        same,
      );
      stream.on('error', (e: ServiceError) => {
        client.close();
        resolve(e);
      });
      stream.on('data', () => {});
      stream.end();
    });
    expect(error?.code).toBe(status.UNIMPLEMENTED);
  });
});

describe('development mode', () => {
  it('needs no credentials, but holds callers to those that they bring', async () => {
    const own = await testDatabase();
    const server = await serve({ MINIKMS_DB_URL: own.url });
    expect(await call(server.port, 'CreateDataKey', [])).toBeNull();
    expect(await call(server.port, 'CreateDataKey', ['Bearer guess'])).toMatchObject({ code: status.UNAUTHENTICATED });
    await server.stop();
    await own.drop();
  });
});

describe('TLS', () => {
  let server: TestServer;
  const ca = pem('ca.pem');
  beforeAll(async () => {
    server = await serve(
      {
        MINIKMS_DB_URL: database.url,
        MINIKMS_OPERATOR_TOKEN_SHA256: DIGEST,
        MINIKMS_TLS_ENABLED: 'true',
        MINIKMS_TLS_CERT_FILE: fixture('server.pem'),
        MINIKMS_TLS_KEY_FILE: fixture('server.key'),
        MINIKMS_TLS_CA_FILE: fixture('ca.pem'),
      },
      { args: [], host: 'localhost', connect: { token: TOKEN, tls: { ca } } },
    );
  });
  afterAll(() => server.stop());

  it('serves clients without a certificate', async () => {
    await server.client.kms.encrypt(scope);
  });

  it('serves clients with a certificate of the authority, and refuses any other', async () => {
    const present = (name: string) =>
      connect({
        address: `localhost:${server.port}`,
        token: TOKEN,
        tls: { ca, cert: pem(`${name}.pem`), key: pem(name === 'stranger' ? 'stranger.key' : `${name}.key`) },
      });
    const good = present('client');
    await good.kms.encrypt(scope);
    good.close();
    const bad = present('stranger');
    expect(await failure(bad.kms.encrypt(scope))).toMatchObject({ code: 'UNAUTHENTICATED' });
    bad.close();
  });

  it('is checked by the client, for names and for addresses', async () => {
    for (const host of ['localhost', '127.0.0.1']) {
      const good = connect({ address: `${host}:${server.port}`, token: TOKEN, tls: { ca } });
      await good.kms.encrypt(scope);
      good.close();
      const other = connect({ address: `${host}:${server.port}`, token: TOKEN, tls: { ca: pem('stranger.pem') } });
      expect(await failure(other.kms.encrypt(scope))).toMatchObject({ code: 'UNAVAILABLE' });
      other.close();
    }
    const misnamed = connect({ address: `127.0.0.2:${server.port}`, token: TOKEN, tls: { ca }, deadlineMs: 3000 });
    expect(['UNAVAILABLE', 'DEADLINE_EXCEEDED']).toContain((await failure(misnamed.kms.encrypt(scope))).code);
    misnamed.close();
  });

  it('does not answer in clear', async () => {
    const clear = connect({ address: `127.0.0.1:${server.port}`, deadlineMs: 3000 });
    expect(['UNAVAILABLE', 'DEADLINE_EXCEEDED']).toContain((await failure(clear.kms.encrypt(scope))).code);
    clear.close();
  });
});
