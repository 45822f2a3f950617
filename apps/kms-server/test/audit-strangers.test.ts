import { createHash, randomBytes } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, caller, ok, type Superuser, superuser } from './audit-calls.ts';
import { serve, type TestServer } from './server.ts';

const TOKEN = randomBytes(32).toString('hex');
const scope = { tenantId: 'acme', scopeId: 'app' };

let database: Awaited<ReturnType<typeof testDatabase>>;
let server: TestServer;
let db: Superuser;
let api: Caller;

beforeAll(async () => {
  database = await testDatabase();
  const digest = createHash('sha256').update(TOKEN).digest('hex');
  server = await serve({ MINIKMS_DB_URL: database.url, MINIKMS_OPERATOR_TOKEN_SHA256: digest }, { args: [] });
  db = await superuser(database.url);
  await db.query("UPDATE audit_schedule SET due_at = 'infinity'");
  api = caller(server.port, TOKEN);
});
afterAll(async () => {
  api.close();
  await server.stop();
  await db.end();
  await database.drop();
});

const refusals = async () => (await db.rows('_system')).filter(({ told }) => told['outcome'] === 'UNAUTHENTICATED');
const counted = async () => (await refusals()).reduce((sum, { told }) => sum + Number(told['count']), 0);

describe('calls without credentials', () => {
  it('are counted in a few entries, grow no tenant, and stop nobody', async () => {
    const { ciphertext } = await ok(api.encrypt({ ...scope, plaintext: Buffer.from('x') }));
    const strangers = [caller(server.port), caller(server.port, 'guess')];
    let flooding = true;
    const bad = strangers.flatMap((stranger) =>
      Array.from({ length: 10 }, async () => {
        for (let i = 0; i < 50; i++) {
          const refused = await stranger.decrypt({ ...scope, ciphertext });
          expect(refused).toMatchObject({ grpcStatus: status.UNAUTHENTICATED, position: '', response: undefined });
          await stranger.verifyChain({ orgId: 'acme' });
        }
      }),
    );
    let served = 0;
    const legitimate = (async () => {
      while (flooding) {
        await ok(api.decrypt({ ...scope, ciphertext }));
        served++;
      }
    })();
    await Promise.all(bad);
    flooding = false;
    await legitimate;
    for (const stranger of strangers) stranger.close();
    await expect.poll(counted, { timeout: 20_000 }).toBe(2000);

    const entries = await refusals();
    expect(entries.length).toBeLessThan(60);
    expect(new Set(entries.map(({ action }) => action))).toEqual(new Set(['kms.decrypt', 'audit.verify']));
    const sources = new Set(entries.map(({ told }) => told['source']));
    const subjects = await db.query('SELECT label FROM audit_subjects WHERE tenant_id = $1 AND id = ANY($2)', [
      '_system',
      [...sources],
    ]);
    expect(subjects.rows).toEqual([{ label: '127.0.0.1' }]);
    for (const { actorId, requestJwtHash, told, timestampUs } of entries) {
      expect(actorId).toBe('');
      expect(requestJwtHash).toHaveLength(0);
      expect(BigInt(Number(told['since_us']))).toBeLessThanOrEqual(timestampUs);
    }
    // The key, the first use, and those of the caller; nothing of the strangers.
    expect(served).toBeGreaterThan(10);
    expect(await db.rows('acme')).toHaveLength(2 + served);
    expect(new Set((await db.rows()).map(({ tenantId }) => tenantId))).toEqual(new Set(['_system', 'acme']));
  });

  it('are not written down when they are to methods that do not exist, whatever their names', async () => {
    const before = await db.rows();
    const stranger = caller(server.port);
    for (const name of ['Nothing', 'x'.repeat(3000)])
      expect(await stranger.raw(`KMSService/${name}`, Buffer.of())).toMatchObject({ grpcStatus: status.UNIMPLEMENTED });
    await stranger.createDataKey(scope);
    stranger.close();
    await expect.poll(async () => (await db.rows()).length, { timeout: 20_000 }).toBeGreaterThan(before.length);
    expect((await db.rows()).slice(before.length).length).toBe(1);
    expect((await refusals()).at(-1)).toMatchObject({ action: 'kms.key.create', told: { count: 1 } });
  });

  it('are written at the latest when the server stops', async () => {
    const before = await counted();
    const stranger = caller(server.port);
    for (let i = 0; i < 7; i++) await stranger.getKeyInfo(scope);
    stranger.close();
    api.close();
    expect(await server.stop()).toBe(0);
    expect(await counted()).toBe(before + 7);
  });
});
