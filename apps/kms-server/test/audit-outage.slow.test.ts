import { createHash, randomBytes } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { testDatabase } from '@minikms/dev-postgres';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Caller, caller, ok, type Superuser, superuser } from './audit-calls.ts';
import { serve, type TestServer } from './server.ts';

const scope = { tenantId: 'acme', scopeId: 'app' };
const PLAINTEXT = Buffer.from(`plaintext-${randomBytes(16).toString('hex')}`);

let database: Awaited<ReturnType<typeof testDatabase>>;
let server: TestServer;
let db: Superuser;
let api: Caller;
let ciphertext: Buffer;
let calls: Record<string, () => Promise<Answer<unknown>>>;

beforeAll(async () => {
  database = await testDatabase();
  server = await serve({ MINIKMS_DB_URL: database.url });
  db = await superuser(database.url);
  await db.query("UPDATE audit_schedule SET due_at = 'infinity'");
  api = caller(server.port);
  ({ ciphertext } = await ok(api.encrypt({ ...scope, plaintext: PLAINTEXT })));
  const item = { ciphertext };
  calls = {
    encrypt: () => api.encrypt({ ...scope, plaintext: PLAINTEXT }),
    decrypt: () => api.decrypt({ ...scope, ciphertext }),
    'a batch': () => api.batchDecrypt({ ...scope, perItemResults: true, items: [item, item] }),
    'a wrong ciphertext': () => api.decrypt({ ...scope, ciphertext, aad: 'other' }),
    'an unknown key': () => api.getKeyInfo({ ...scope, scopeId: 'other' }),
    'a new key': () => api.createDataKey({ ...scope, scopeId: `new-${randomBytes(4).toString('hex')}` }),
    'a rotation': () => api.rotateDataKey(scope),
    'a checkpoint': () => api.getCheckpoint({ orgId: 'acme' }),
    'an export': () => api.exportLog({ orgId: 'acme' }),
    'an audit log': () => api.getAuditLogs({ orgId: 'acme' }),
  };
});
afterAll(async () => {
  api.close();
  await server.stop();
  await db.end();
  await database.drop();
});

/** Every sort of call at once; each fails alike, whatever it would have been answered. */
async function expectNothingTold(): Promise<void> {
  for (const [name, answer] of await Promise.all(
    Object.entries(calls).map(async ([what, call]) => [what, await call()] as const),
  )) {
    const { response, grpcStatus, position, code } = answer;
    expect({ name, grpcStatus, position, code, response }).toEqual({
      name,
      grpcStatus: status.UNAVAILABLE,
      position: '',
      code: 'STORE_UNAVAILABLE',
      response: undefined,
    });
  }
}

async function expectRecovered(): Promise<void> {
  await expect
    .poll(async () => (await api.decrypt({ ...scope, ciphertext })).response?.plaintext, { timeout: 30_000 })
    .toEqual(PLAINTEXT);
  expect(await ok(api.verifyChain({ orgId: 'acme' }))).toMatchObject({ valid: true });
}

describe('when the audit log cannot be written, calls reveal nothing', () => {
  // What PostgreSQL says when its disk is full, when it is a standby, when somebody cancels statements.
  it.each(['53100', '25006', '57014'])('since the database refuses with %s', async (code) => {
    const entries = await db.rows();
    await db.query(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '${code}'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON kms_audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse()`);
    const keys = await db.query('SELECT id FROM key_versions ORDER BY id');
    try {
      await expectNothingTold();
      expect(await db.rows()).toEqual(entries);
      expect((await db.query('SELECT id FROM key_versions ORDER BY id')).rows).toEqual(keys.rows);
    } finally {
      await db.query('DROP TRIGGER refuse ON kms_audit_log; DROP FUNCTION refuse');
    }
    await expectRecovered();
  });

  it('since somebody holds its lock', async () => {
    const holder = new pg.Client(database.url);
    await holder.connect();
    await holder.query('BEGIN; LOCK TABLE kms_audit_log IN EXCLUSIVE MODE');
    try {
      await expectNothingTold();
    } finally {
      await holder.query('ROLLBACK');
      await holder.end();
    }
    await expectRecovered();
  });

  it('since one log is held, while other tenants are served', async () => {
    const holder = new pg.Client(database.url);
    await holder.connect();
    await holder.query(`BEGIN; SELECT * FROM audit_heads WHERE tenant_id = 'acme' FOR UPDATE`);
    try {
      const held = api.decrypt({ ...scope, ciphertext });
      for (let i = 0; i < 20; i++) await ok(api.encrypt({ tenantId: 'other', scopeId: 'app' }));
      expect(await held).toMatchObject({ code: 'STORE_UNAVAILABLE', response: undefined, position: '' });
    } finally {
      await holder.query('ROLLBACK');
      await holder.end();
    }
    await expectRecovered();
  });

  it('since its connections are cut, again and again; what was answered is there', async () => {
    const answered: Answer<unknown>[] = [];
    const refused = new Set<number>();
    let running = true;
    const working = Array.from({ length: 8 }, async () => {
      while (running) {
        const made = await api.decrypt({ ...scope, ciphertext });
        if (made.code === '') answered.push(made);
        else refused.add(made.grpcStatus);
      }
    });
    for (let i = 0; i < 10; i++) {
      const before = answered.length;
      await expect.poll(() => answered.length, { timeout: 30_000, interval: 5 }).toBeGreaterThan(before + 5);
      await db.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()`);
    }
    running = false;
    await Promise.all(working);
    for (const code of refused) expect(code).toBe(status.UNAVAILABLE);
    const requests = new Map((await db.rows('acme')).map(({ id, told }) => [id, told['request']]));
    expect(answered.filter(({ position, requestId }) => requests.get(position) !== requestId)).toEqual([]);
    expect(new Set(answered.map(({ position }) => position)).size).toBe(answered.length);
    await expectRecovered();
  });

  it('and the server log says no more than it may', () => {
    const forms = (['utf8', 'hex', 'base64'] as const).map((encoding) => PLAINTEXT.toString(encoding));
    forms.push(createHash('sha256').update(PLAINTEXT).digest('hex'));
    for (const form of forms) expect(server.output()).not.toContain(form);
  });
});
