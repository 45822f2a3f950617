import { testDatabase } from '@minikms/dev-postgres';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failure, serve, type TestServer } from './server.ts';

let database: Awaited<ReturnType<typeof testDatabase>>;
let server: TestServer;
let blocker: Client;
beforeAll(async () => {
  database = await testDatabase();
  server = await serve({ MINIKMS_DB_URL: database.url, MINIKMS_LOG_LEVEL: 'debug' });
  blocker = new Client(database.url);
  await blocker.connect();
});
afterAll(async () => {
  await blocker.end();
  await server.stop();
  await database.drop();
});

describe('a caller who does not wait', () => {
  it.each([
    ['deadline', () => ({ deadlineMs: 300 }), 'DEADLINE_EXCEEDED'],
    ['cancellation', () => ({ signal: AbortSignal.timeout(300) }), 'CANCELLED'],
  ])('is let go at his %s, and nothing is done for him afterwards', async (name, settings, code) => {
    const { kms } = server.client;
    const scope = { tenantId: 'acme', scopeId: name };
    await kms.createDataKey(scope);
    // The key's row is locked: the call has to wait for the database.
    await blocker.query('BEGIN');
    await blocker.query('SELECT 1 FROM key_versions WHERE scope_id = $1 FOR UPDATE', [name]);
    expect(await failure(kms.encrypt({ ...scope, plaintext: Buffer.from('late') }, settings()))).toMatchObject({
      code,
    });
    // Answered on the same connection, so that by then the server has seen that the caller left.
    await kms.createDataKey({ ...scope, scopeId: 'another' });
    await blocker.query('COMMIT');
    await expect
      .poll(() => server.output())
      .toMatch(new RegExp(`"action":"kms.encrypt".*"scopeId":"${name}","code":"CANCELLED"`));
    await kms.encrypt(scope);
  });
});
