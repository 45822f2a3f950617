import { randomBytes, randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { CiphertextEncoding } from '@minikms/client';
import { testDatabase } from '@minikms/dev-postgres';
import { crc32c } from '@node-rs/crc32';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failure, serve, type TestServer } from './server.ts';

let server: TestServer;
let database: Awaited<ReturnType<typeof testDatabase>>;
let kms: TestServer['client']['kms'];

beforeAll(async () => {
  database = await testDatabase();
  server = await serve({ MINIKMS_DB_URL: database.url });
  kms = server.client.kms;
});
afterAll(async () => {
  await server.stop();
  await database.drop();
});

const newScope = () => ({ tenantId: `org-${randomUUID()}`, scopeId: 'app' });
const text = (value: string) => Buffer.from(value);
const LIMITS = /at most 1000 items and \d+ bytes of (plaintext|ciphertext) and aad/;

describe('batches', () => {
  it('keep the order and the references', async () => {
    const scope = newScope();
    const items = Array.from({ length: 1000 }, (_, i) => ({
      plaintext: text(`value ${i}`),
      aad: `aad ${i}`,
      reference: `r${i}`,
    }));
    const sealed = await kms.batchEncrypt({ ...scope, items });
    expect(sealed.items.map(({ reference }) => reference)).toEqual(items.map(({ reference }) => reference));
    const opened = await kms.batchDecrypt({
      ...scope,
      items: sealed.items.map(({ ciphertext, keyVersionId }, i) => ({
        ciphertext,
        keyVersionId,
        aad: `aad ${i}`,
        reference: `s${i}`,
      })),
    });
    expect(opened.items.map(({ plaintext }) => plaintext.toString())).toEqual(items.map((_, i) => `value ${i}`));
    expect(opened.items[999]?.reference).toBe('s999');
  });

  it('open what Encrypt sealed, and the other way round, over several key versions', async () => {
    const scope = newScope();
    const one = await kms.encrypt({ ...scope, plaintext: text('1') });
    await kms.rotateDataKey(scope);
    const two = await kms.batchEncrypt({
      ...scope,
      items: [{ plaintext: text('2') }],
      ciphertextEncoding: CiphertextEncoding.CIPHERTEXT_ENCODING_RAW,
    });
    const ciphertext = two.items[0]?.ciphertext ?? Buffer.alloc(0);
    expect((await kms.decrypt({ ...scope, ciphertext })).plaintext).toEqual(text('2'));
    const both = await kms.batchDecrypt({ ...scope, items: [{ ciphertext }, { ciphertext: one.ciphertext }] });
    expect(both.items.map(({ plaintext }) => plaintext.toString())).toEqual(['2', '1']);
  });

  it('are all or nothing unless asked otherwise', async () => {
    const scope = newScope();
    const { ciphertext } = await kms.encrypt({ ...scope, plaintext: text('x'), aad: 'a' });
    const items = [
      { ciphertext, aad: 'a' },
      { ciphertext, aad: 'b' },
    ];
    expect(await failure(kms.batchDecrypt({ ...scope, items }))).toMatchObject({ code: 'CIPHERTEXT_INVALID' });
    const large = Buffer.alloc(1_048_577);
    expect(
      await failure(kms.batchEncrypt({ ...scope, items: [{ plaintext: text('x') }, { plaintext: large }] })),
    ).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining('items[1].plaintext'),
    });
  });

  it('report each item by itself when asked', async () => {
    const scope = newScope();
    const sealed = await kms.batchEncrypt({
      ...scope,
      perItemResults: true,
      items: [
        { plaintext: text('good'), reference: 'a' },
        { plaintext: text('damaged'), plaintextCrc32c: 1, reference: 'b' },
        { plaintext: Buffer.alloc(1_048_577), reference: 'c' },
        { plaintext: text('good too'), aad: 'd', aadCrc32c: crc32c('d'), reference: 'd' },
      ],
    });
    expect(sealed.items.map(({ error, reference }) => [reference, error?.code])).toEqual([
      ['a', undefined],
      ['b', 'CHECKSUM_MISMATCH'],
      ['c', 'LIMIT_EXCEEDED'],
      ['d', undefined],
    ]);
    expect(sealed.items[1]?.ciphertext).toHaveLength(0);
    expect(sealed.items[3]).toMatchObject({
      verifiedAadCrc32c: true,
      ciphertextCrc32c: crc32c(sealed.items[3]?.ciphertext ?? ''),
    });
    const good = sealed.items[0]?.ciphertext ?? Buffer.alloc(0);
    const opened = await kms.batchDecrypt({
      ...scope,
      perItemResults: true,
      items: [
        { ciphertext: good },
        { ciphertext: good, aad: 'wrong' },
        { ciphertext: text('!') },
        { ciphertext: good, keyVersionId: randomUUID() },
        { ciphertext: good, keyVersionId: 'x' },
        {},
        { ciphertext: good },
      ],
    });
    expect(
      opened.items.map(({ error, plaintext }) => [error?.code ?? 'OK', error?.grpcStatus ?? 0, plaintext.toString()]),
    ).toEqual([
      ['OK', 0, 'good'],
      ['CIPHERTEXT_INVALID', status.INVALID_ARGUMENT, ''],
      ['CIPHERTEXT_MALFORMED', status.INVALID_ARGUMENT, ''],
      ['KEY_VERSION_MISMATCH', status.FAILED_PRECONDITION, ''],
      ['ID_INVALID', status.INVALID_ARGUMENT, ''],
      ['CIPHERTEXT_MALFORMED', status.INVALID_ARGUMENT, ''],
      ['OK', 0, 'good'],
    ]);
    expect((await kms.getKeyInfo(scope)).encryptionCount).toBe(2n);
  });

  it('are bounded in items and in bytes, with both bounds in the error', async () => {
    const scope = newScope();
    const limited = {
      code: 'LIMIT_EXCEEDED',
      grpcStatus: status.INVALID_ARGUMENT,
      message: expect.stringMatching(LIMITS),
    };
    const many = Array.from({ length: 1001 }, () => ({}));
    expect(await failure(kms.batchEncrypt({ ...scope, items: many }))).toMatchObject(limited);
    expect(await failure(kms.batchDecrypt({ ...scope, items: many }))).toMatchObject(limited);
    const mebibyte = Buffer.alloc(1_048_576, 65);
    const four = Array.from({ length: 4 }, () => ({ plaintext: mebibyte }));
    expect((await kms.batchEncrypt({ ...scope, items: four })).items).toHaveLength(4);
    expect(await failure(kms.batchEncrypt({ ...scope, items: [...four, { aad: 'a' }] }))).toMatchObject(limited);
    const six = Array.from({ length: 6 }, () => ({ ciphertext: mebibyte }));
    expect(await failure(kms.batchDecrypt({ ...scope, items: [...six, { aad: 'a' }] }))).toMatchObject(limited);
    expect(await failure(kms.batchEncrypt({ ...scope, items: [{ reference: 'r'.repeat(129) }] }))).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: 'items[0].reference has 129 bytes, more than the limit of 128',
    });
  });

  it('may name many key versions, not hundreds', async () => {
    const scope = newScope();
    await kms.createDataKey(scope);
    const foreign = (count: number) => ({
      ...scope,
      perItemResults: true,
      items: Array.from({ length: count }, () => ({ ciphertext: Buffer.concat([Buffer.of(1), randomBytes(60)]) })),
    });
    const { items } = await kms.batchDecrypt(foreign(100));
    expect(new Set(items.map(({ error }) => error?.code))).toEqual(new Set(['CIPHERTEXT_INVALID']));
    expect(await failure(kms.batchDecrypt(foreign(101)))).toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining('100 key versions'),
    });
  });

  it('may be empty, and reveal nothing about a scope then', async () => {
    expect(await kms.batchEncrypt(newScope())).toEqual({ items: [] });
    expect(await kms.batchDecrypt(newScope())).toEqual({ items: [] });
  });

  it('go on over the end of a budget', async () => {
    const small = await serve({ MINIKMS_DB_URL: database.url, MINIKMS_MAX_ENCRYPTIONS_PER_KEY: '10' });
    try {
      const scope = newScope();
      const items = Array.from({ length: 95 }, (_, i) => ({ plaintext: text(String(i)) }));
      const sealed = await small.client.kms.batchEncrypt({ ...scope, items });
      const uses = new Map<string, number>();
      for (const { keyVersionId } of sealed.items) uses.set(keyVersionId, (uses.get(keyVersionId) ?? 0) + 1);
      expect(Math.max(...uses.values())).toBeLessThanOrEqual(10);
      expect(uses.size).toBeGreaterThanOrEqual(10);
      const opened = await small.client.kms.batchDecrypt({
        ...scope,
        items: sealed.items.map(({ ciphertext }) => ({ ciphertext })),
      });
      expect(opened.items.map(({ plaintext }) => plaintext.toString())).toEqual(items.map((_, i) => String(i)));
    } finally {
      await small.stop();
    }
  });
});
