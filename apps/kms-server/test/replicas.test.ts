import { randomUUID } from 'node:crypto';
import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve, type TestServer } from './server.ts';

const REDIS = process.env['MINIKMS_TEST_REDIS_URL'];
if (REDIS === undefined) console.warn('MINIKMS_TEST_REDIS_URL is not set: replicas are tested without Redis only');

const newScope = () => ({ tenantId: `org-${randomUUID()}`, scopeId: 'app' });
const variants: [string, Record<string, string>][] = [['without Redis', {}]];
if (REDIS !== undefined) variants.push(['with Redis', { MINIKMS_REDIS_URL: REDIS }]);

describe.each(variants)('two servers on one database %s', (_, more) => {
  let database: Awaited<ReturnType<typeof testDatabase>>;
  let a: TestServer;
  let b: TestServer;
  beforeAll(async () => {
    database = await testDatabase();
    [a, b] = (await Promise.all([1, 2].map(() => serve({ MINIKMS_DB_URL: database.url, ...more })))) as [
      TestServer,
      TestServer,
    ];
  });
  afterAll(async () => {
    await Promise.all([a.stop(), b.stop()]);
    await database.drop();
  });

  it('make one key for 50 parallel first calls', async () => {
    for (let round = 0; round < 5; round++) {
      const scope = newScope();
      const sealed = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          (i % 2 === 0 ? a : b).client.kms.encrypt({ ...scope, plaintext: Buffer.from(String(i)) }),
        ),
      );
      expect(new Set(sealed.map(({ keyVersionId }) => keyVersionId)).size).toBe(1);
      const opened = await Promise.all(
        sealed.map(({ ciphertext }, i) => (i % 2 === 0 ? b : a).client.kms.decrypt({ ...scope, ciphertext })),
      );
      expect(opened.map(({ plaintext }) => plaintext.toString())).toEqual(sealed.map((_, i) => String(i)));
      expect(await a.client.kms.getKeyInfo(scope)).toMatchObject({ version: 1 });
    }
  });

  it('lose nothing when keys are rotated under load', async () => {
    const scope = newScope();
    const sealed: { ciphertext: Buffer; value: string }[] = [];
    let rotating = true;
    const encrypting = [a, b, a, b].map(async (server, worker) => {
      for (let i = 0; rotating; i++) {
        const value = `${worker}-${i}`;
        const { ciphertext } = await server.client.kms.encrypt({ ...scope, plaintext: Buffer.from(value), aad: value });
        sealed.push({ ciphertext, value });
      }
    });
    await a.client.kms.createDataKey(scope);
    const rotated = await Promise.all(
      [a, b].map(async (server) => {
        const ids: string[] = [];
        for (let i = 0; i < 10; i++) ids.push((await server.client.kms.rotateDataKey(scope)).newKeyVersionId);
        return ids;
      }),
    );
    rotating = false;
    await Promise.all(encrypting);
    expect(new Set(rotated.flat()).size).toBe(20);
    expect(await b.client.kms.getKeyInfo(scope)).toMatchObject({ version: 21 });
    expect(sealed.length).toBeGreaterThan(20);
    for (const { ciphertext, value } of sealed) {
      const opened = await (value.length % 2 === 0 ? a : b).client.kms.decrypt({ ...scope, ciphertext, aad: value });
      expect(opened.plaintext.toString()).toBe(value);
    }
  });

  it('hear of a rotation within a second, and use the new key', async () => {
    const scope = newScope();
    await b.client.kms.encrypt(scope);
    const { newKeyVersionId } = await a.client.kms.rotateDataKey(scope);
    await expect
      .poll(async () => (await b.client.kms.encrypt(scope)).keyVersionId, { timeout: 5000, interval: 50 })
      .toBe(newKeyVersionId);
  });

  it('add up their use of a key', async () => {
    const scope = newScope();
    for (let i = 0; i < 30; i++) await (i % 3 === 0 ? a : b).client.kms.encrypt(scope);
    await expect
      .poll(async () => (await a.client.kms.getKeyInfo(scope)).encryptionCount, { timeout: 10_000, interval: 100 })
      .toBe(30n);
  });

  it('rotate by themselves when a budget ends, and never exceed it', async () => {
    const small = { MINIKMS_DB_URL: database.url, MINIKMS_MAX_ENCRYPTIONS_PER_KEY: '100', ...more };
    const pair = await Promise.all([serve(small), serve(small)]);
    const scope = newScope();
    const sealed = await Promise.all(
      Array.from({ length: 1000 }, (_, i) =>
        pair[i % 2]!.client.kms.encrypt({ ...scope, plaintext: Buffer.from(String(i)) }),
      ),
    );
    const uses = new Map<string, number>();
    for (const { keyVersionId } of sealed) uses.set(keyVersionId, (uses.get(keyVersionId) ?? 0) + 1);
    expect(uses.size).toBeGreaterThanOrEqual(10);
    expect(Math.max(...uses.values())).toBeLessThanOrEqual(100);
    const opened = await Promise.all(sealed.map(({ ciphertext }) => a.client.kms.decrypt({ ...scope, ciphertext })));
    expect(opened.map(({ plaintext }) => plaintext.toString())).toEqual(sealed.map((_, i) => String(i)));
    expect(pair.some((server) => server.output().includes('its budget is nearly used'))).toBe(true);
    await Promise.all(pair.map((server) => server.stop()));
  });
});
