import { randomBytes } from 'node:crypto';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { testDatabase } from '@minikms/dev-postgres';
import { EncryptRequest } from '@minikms/protocol';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failure, serve, type TestServer } from './server.ts';

let server: TestServer;
let database: Awaited<ReturnType<typeof testDatabase>>;
let kms: TestServer['client']['kms'];
let raw: Client;

beforeAll(async () => {
  database = await testDatabase();
  server = await serve({ MINIKMS_DB_URL: database.url });
  kms = server.client.kms;
  raw = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
});
afterAll(async () => {
  raw.close();
  await server.stop();
  await database.drop();
});

const scope = { tenantId: 'acme', scopeId: 'app' };

/** Sends bytes as they are to a method of KMSService. */
function send(method: string, bytes: Buffer): Promise<ServiceError | null> {
  return new Promise((resolve) => {
    const same = (value: Buffer): Buffer => value;
    raw.makeUnaryRequest(`/minikms.v1.KMSService/${method}`, same, same, bytes, (error) => resolve(error));
  });
}

describe('ids', () => {
  const bad: [string, string][] = [
    ['empty', ''],
    ['too long', 'a'.repeat(129)],
    ['path up', 'a/../b'],
    ['double slash', 'a//b'],
    ['percent', 'a%2fb'],
    ['space', 'a b'],
    ['newline at the end', 'a\n'],
    ['NUL', 'a\0b'],
    ['leading underscore', '_system'],
    ['leading dot', '.a'],
    ['Cyrillic look-alike', '\u0430cme'],
    ['full-width look-alike', '\uFF41cme'],
    ['right-to-left override', 'a\u202Eb'],
  ];
  it.each(bad)('refuses a %s id in every method, naming the field and the rule', async (_, id) => {
    const named = (field: string) => ({
      code: 'ID_INVALID',
      grpcStatus: status.INVALID_ARGUMENT,
      message: expect.stringMatching(`^${field} must be 1 to 128`),
    });
    for (const call of Object.values(kms)) {
      expect(await failure(call({ tenantId: id, scopeId: 'app' }))).toMatchObject(named('tenant_id'));
      expect(await failure(call({ tenantId: 'acme', scopeId: id }))).toMatchObject(named('scope_id'));
    }
  });

  it('takes every kind of character that the rule allows', async () => {
    const id = `a${'-._:@/Z9'.repeat(15)}1234567`;
    expect(id).toHaveLength(128);
    await kms.encrypt({ tenantId: id, scopeId: id });
  });
});

describe('limits', () => {
  it('takes the largest plaintext and aad, and refuses one byte more, naming the limit', async () => {
    const plaintext = randomBytes(1_048_576);
    const sealed = await kms.encrypt({ ...scope, plaintext, aad: 'ü'.repeat(32_768) });
    expect((await kms.decrypt({ ...scope, ciphertext: sealed.ciphertext, aad: 'ü'.repeat(32_768) })).plaintext).toEqual(
      plaintext,
    );
    const limited = { code: 'LIMIT_EXCEEDED', grpcStatus: status.INVALID_ARGUMENT };
    expect(await failure(kms.encrypt({ ...scope, plaintext: Buffer.alloc(1_048_577) }))).toMatchObject({
      ...limited,
      message: 'plaintext has 1048577 bytes, more than the limit of 1048576',
    });
    expect(await failure(kms.encrypt({ ...scope, aad: 'ü'.repeat(32_769) }))).toMatchObject({
      ...limited,
      message: 'aad has 65538 bytes, more than the limit of 65536',
    });
    expect(await failure(kms.decrypt({ ...scope, ciphertext: Buffer.alloc(1_398_168, 65) }))).toMatchObject(limited);
    expect(await failure(kms.decrypt({ ...scope, aad: 'a'.repeat(65_537) }))).toMatchObject(limited);
    expect(await failure(kms.reEncrypt({ ...scope, targetAad: 'a'.repeat(65_537) }))).toMatchObject(limited);
  });

  it('refuses a message beyond 8 MiB without reading it in', async () => {
    const error = await send('Encrypt', Buffer.alloc(8 * 1024 * 1024 + 1));
    expect(error?.code).toBe(status.RESOURCE_EXHAUSTED);
    await kms.encrypt(scope);
  });

  it('refuses an unknown ciphertext encoding', async () => {
    for (const ciphertextEncoding of [3, -1]) {
      expect(await failure(kms.encrypt({ ...scope, ciphertextEncoding: ciphertextEncoding as 0 }))).toMatchObject({
        code: 'FIELD_INVALID',
      });
    }
  });
});

describe('requests of very many parts', () => {
  const limited = (error: ServiceError | null) =>
    expect(error?.metadata.get('minikms-code')).toEqual(['LIMIT_EXCEEDED']);
  const seven = 7 * 1024 * 1024;

  it.each(['BatchEncrypt', 'BatchDecrypt'])(
    'are refused by %s before anything is made of them, with both bounds',
    async (method) => {
      // Field 3, length 0: four million empty items, which would take a gigabyte.
      const error = await send(method, Buffer.alloc(seven, Buffer.of(0x1a, 0)));
      limited(error);
      expect(error?.details).toMatch(/at most 1000 items and \d+ bytes/);
      // One item of very many fields.
      const item = Buffer.alloc(seven, Buffer.of(0x1a, 0));
      const length = Buffer.alloc(5);
      let end = 0;
      for (let rest = item.length; ; rest >>>= 7) {
        length[end++] = rest > 0x7f ? (rest & 0x7f) | 0x80 : rest;
        if (rest <= 0x7f) break;
      }
      limited(await send(method, Buffer.concat([Buffer.of(0x1a), length.subarray(0, end), item])));
    },
  );

  it('are refused where nothing repeats', async () => {
    limited(await send('Encrypt', Buffer.alloc(seven, Buffer.of(0x0a, 0))));
    limited(await send('GetKeyInfo', Buffer.alloc(2050, Buffer.of(0x0a, 0))));
  });

  it('are read when a client sends some fields twice: the last one counts', async () => {
    const first = EncryptRequest.encode(EncryptRequest.fromPartial({ tenantId: 'other', scopeId: 'x' })).finish();
    const second = EncryptRequest.encode(EncryptRequest.fromPartial(scope)).finish();
    expect(await send('Encrypt', Buffer.concat([first, second]))).toBeNull();
  });
});

describe('malformed requests', () => {
  it('refuses strings that are not UTF-8, whatever the field', async () => {
    const invalid = [
      Buffer.of(0xff),
      Buffer.of(0xc0, 0x80),
      Buffer.of(0xed, 0xa0, 0x80),
      Buffer.of(0xf4, 0x90, 0x80, 0x80),
    ];
    for (const bytes of invalid) {
      for (const field of [1, 2, 4]) {
        const message = Buffer.concat([Buffer.of((field << 3) | 2, bytes.length), bytes]);
        const request = Buffer.concat([
          Buffer.from(EncryptRequest.encode(EncryptRequest.fromPartial(scope)).finish()),
          message,
        ]);
        const error = await send('Encrypt', request);
        expect(error).toMatchObject({
          code: status.INVALID_ARGUMENT,
          details: expect.stringContaining('not valid UTF-8'),
        });
        expect(error?.metadata.get('minikms-code')).toEqual(['REQUEST_MALFORMED']);
      }
    }
  });

  it('answers any bytes with an error of its own, and goes on serving', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(
          'Encrypt',
          'Decrypt',
          'BatchEncrypt',
          'BatchDecrypt',
          'ReEncrypt',
          'RotateDataKey',
          'GetKeyInfo',
          'CreateDataKey',
        ),
        fc.uint8Array({ maxLength: 60 }),
        async (method, bytes) => {
          const error = await send(method, Buffer.from(bytes));
          expect(error?.code).toBe(status.INVALID_ARGUMENT);
          expect(error?.metadata.get('minikms-request-id')).toHaveLength(1);
        },
      ),
      { numRuns: 200 },
    );
    await kms.encrypt(scope);
    expect(server.output()).not.toContain('"level":"error"');
  });
});
