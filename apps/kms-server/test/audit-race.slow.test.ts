import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, caller, type Desk, desk, ok, type Superuser, superuser } from './audit-calls.ts';
import { serve, type TestServer } from './server.ts';

const SERVERS = 4;
const PARALLEL = 50;

interface Answered {
  readonly position: string;
  readonly requestId: string;
}

let database: Awaited<ReturnType<typeof testDatabase>>;
let db: Superuser;
let auditor: Desk;
let servers: TestServer[];
let apis: Caller[];

beforeAll(async () => {
  auditor = await desk();
  database = await testDatabase();
  servers = await Promise.all(Array.from({ length: SERVERS }, () => serve({ MINIKMS_DB_URL: database.url })));
  apis = servers.map(({ port }) => caller(port));
  db = await superuser(database.url);
});
afterAll(async () => {
  for (const api of apis) api.close();
  await Promise.all(servers.map((server) => server.stop()));
  await db.end();
  await database.drop();
  auditor.remove();
});

/** Every call that was answered stands where it was told, and no place was given twice. */
async function expectTold(tenantId: string, answered: readonly Answered[]): Promise<number> {
  const rows = await db.rows(tenantId);
  const requests = new Map(rows.map(({ id, told }) => [id, told['request']]));
  expect(new Set(answered.map(({ position }) => position)).size).toBe(answered.length);
  expect(answered.filter(({ position, requestId }) => requests.get(position) !== requestId)).toEqual([]);
  return rows.length;
}

/** Through the auditor's command, with the checkpoints that servers signed meanwhile. */
async function expectGood(api: Caller, orgId: string, checkpoints: readonly string[]): Promise<void> {
  const { verifierKey } = await ok(api.getCheckpoint({ orgId }));
  const lines = await ok(api.exportLog({ orgId }));
  const verdict = await auditor.verify(lines, verifierKey, checkpoints);
  expect(verdict, verdict.output).toMatchObject({ code: 0 });
  expect(await ok(api.verifyChain({ orgId }))).toMatchObject({ valid: true });
}

describe('four servers that write one log', () => {
  it('make no fork, no gap, and lose no entry, while checkpoints are signed', async () => {
    const scope = { tenantId: 'acme', scopeId: 'app' };
    const calls = 40;
    await ok(apis[0]!.createDataKey(scope));
    const answered: Answered[] = [];
    const refused: string[] = [];
    const checkpoints: string[] = [];
    let running = true;
    const signing = apis.map(async (api) => {
      while (running) {
        const made = await api.getCheckpoint({ orgId: 'acme' });
        if (made.response === undefined) {
          refused.push(made.code);
          return;
        }
        answered.push(made);
        checkpoints.push(made.response.checkpoint);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    });
    const working = apis.flatMap((api) =>
      Array.from({ length: PARALLEL }, async (_, worker) => {
        for (let i = 0; i < calls; i++) {
          const made = await api.encrypt({ ...scope, plaintext: Buffer.from(`${worker}-${i}`) });
          if (made.code === '') answered.push(made);
          else refused.push(made.code);
        }
      }),
    );
    await Promise.all(working);
    running = false;
    await Promise.all(signing);
    const alarms = servers.map((server) => /.*the audit log lost entries.*/.exec(server.output())?.[0]);
    expect(alarms.filter((alarm) => alarm !== undefined)).toEqual([]);
    expect(refused).toEqual([]);
    // And the key.
    expect(await expectTold('acme', answered)).toBe(answered.length + 1);
    expect(answered.length).toBeGreaterThan(SERVERS * PARALLEL * calls);
    expect(checkpoints.length).toBeGreaterThan(SERVERS);
    for (const api of apis) await expectGood(api, 'acme', [...checkpoints.slice(0, 3), ...checkpoints.slice(-3)]);
  });

  it('have an entry for every call that one of them answered before it was killed', async () => {
    const scope = { tenantId: 'killed', scopeId: 'app' };
    await ok(apis[0]!.createDataKey(scope));
    const answered: Answered[] = [];
    const unanswered = { calls: 0 };
    const [victim] = servers;
    let running = true;
    const working = apis.flatMap((api, server) =>
      Array.from({ length: PARALLEL }, async () => {
        while (running) {
          const made = await api.encrypt(scope);
          if (made.code === '' && made.response !== undefined) answered.push(made);
          else {
            unanswered.calls++;
            if (server === 0) return;
          }
        }
      }),
    );
    await expect.poll(() => answered.length, { timeout: 120_000 }).toBeGreaterThan(1000);
    victim?.process.kill('SIGKILL');
    await expect.poll(() => unanswered.calls, { timeout: 120_000 }).toBeGreaterThanOrEqual(PARALLEL);
    const then = answered.length;
    await expect.poll(() => answered.length, { timeout: 120_000 }).toBeGreaterThan(then + 1000);
    running = false;
    await Promise.all(working);
    const entries = await expectTold('killed', answered);
    expect(entries).toBeGreaterThan(answered.length);
    expect(entries).toBeLessThanOrEqual(answered.length + unanswered.calls + 1);
    await expectGood(apis[1]!, 'killed', []);
  });
});

describe('a log of 50,000 entries', () => {
  it('of which the first is edited is caught', async () => {
    const orgId = 'long';
    await db.query(
      `SELECT minikms_audit_append($1, array_agg(i::bigint), array_agg('kms.encrypt'::text), array_agg('a'::text),
         array_agg('{}'::text), array_agg(''::bytea)) FROM generate_series(1, 50000) AS i`,
      [orgId],
    );
    const { checkpoint, verifierKey, size } = await ok(apis[1]!.getCheckpoint({ orgId }));
    expect(size).toBe(50_000n);
    await expectGood(apis[1]!, orgId, [checkpoint]);
    await db.tamper(`UPDATE kms_audit_log SET actor_id = 'b' WHERE tenant_id = 'long' AND seq = 1`);
    const verdict = await auditor.verify(await ok(apis[1]!.exportLog({ orgId })), verifierKey, [checkpoint]);
    expect(verdict).toMatchObject({ code: 1, output: expect.stringContaining('HASH_MISMATCH, entry 1,') });
    expect(await ok(apis[1]!.verifyChain({ orgId }))).toMatchObject({ valid: false, firstBadSeq: 1n });
  });
});
