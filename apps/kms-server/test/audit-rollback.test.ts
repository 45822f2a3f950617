import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, caller, type Desk, desk, ok, type Superuser, superuser } from './audit-calls.ts';
import { ROOT_KEY, run, serve, type TestServer } from './server.ts';

const TABLES = ['kms_audit_log', 'audit_heads', 'audit_checkpoints', 'audit_tree', 'audit_subjects'];
const scope = { tenantId: 'acme', scopeId: 'app' };
const BEHIND = { code: 'AUDIT_LOG_BEHIND', grpcStatus: status.UNAVAILABLE, response: undefined };

describe('a database that is put back to a backup', () => {
  const directory = mkdtempSync(join(tmpdir(), 'minikms-checkpoints-'));
  let database: Awaited<ReturnType<typeof testDatabase>>;
  let environment: Record<string, string>;
  let server: TestServer;
  let db: Superuser;
  let api: Caller;
  let auditor: Desk;
  let old: Readonly<Record<'checkpoint' | 'verifierKey', string>>;
  let ciphertext: Buffer;

  beforeAll(async () => {
    auditor = await desk();
    database = await testDatabase();
    environment = {
      MINIKMS_DB_URL: database.url,
      MINIKMS_ROOT_KEY: ROOT_KEY,
      MINIKMS_AUDIT_CHECKPOINT_DIR: directory,
    };
    server = await serve(environment);
    db = await superuser(database.url);
    await db.query("UPDATE audit_schedule SET due_at = 'infinity'");
    api = caller(server.port);
    const use = () => ok(api.encrypt({ ...scope, plaintext: Buffer.from('secret') }));
    ({ ciphertext } = await use());
    for (let i = 0; i < 5; i++) await use();
    await ok(api.getCheckpoint({ orgId: 'acme' }));
    for (const table of TABLES) await db.query(`CREATE TABLE backup_${table} AS TABLE ${table}`);
    for (let i = 0; i < 5; i++) await use();
    old = await ok(api.getCheckpoint({ orgId: 'acme' }));
    for (let i = 0; i < 3; i++) await ok(api.getCheckpoint({ orgId: '_system' }));
    for (const table of TABLES)
      await db.tamper(`DELETE FROM ${table}; INSERT INTO ${table} SELECT * FROM backup_${table}`);
  });
  afterAll(async () => {
    api.close();
    await server.stop();
    await db.end();
    await database.drop();
    auditor.remove();
    rmSync(directory, { recursive: true, force: true });
  });
  const published = () => readFileSync(join(directory, 'acme.checkpoint'), 'utf8');

  it('is noticed by a server that runs: it answers nobody, and signs nothing', async () => {
    const before = await db.query('SELECT note FROM audit_checkpoints ORDER BY tenant_id');
    expect(await api.decrypt({ ...scope, ciphertext })).toMatchObject(BEHIND);
    // One log that lost entries stands for all: who put it back put all of them back.
    expect(await api.encrypt({ tenantId: 'other', scopeId: 'app' })).toMatchObject(BEHIND);
    for (const orgId of ['acme', '_system']) {
      expect(await api.getCheckpoint({ orgId })).toMatchObject(BEHIND);
      expect(await api.exportLog({ orgId })).toMatchObject({ ...BEHIND, response: undefined });
      expect(await api.getReceipt({ orgId, seq: 1n })).toMatchObject(BEHIND);
      expect(await api.getAuditLogs({ orgId })).toMatchObject(BEHIND);
    }
    expect(server.output()).toContain('the audit log lost entries');
    expect((await db.query('SELECT note FROM audit_checkpoints ORDER BY tenant_id')).rows).toEqual(before.rows);
    expect(published()).toBe(old.checkpoint);
    expect((await db.rows('acme')).length).toBe(8);
  });

  it('is noticed by a server that starts: by the checkpoints that it kept outside', async () => {
    api.close();
    expect(await server.stop()).toBe(0);
    const started = await run(['--dev'], environment);
    expect(started).toMatchObject({ code: 1, output: expect.stringContaining('AUDIT_LOG_BEHIND') });
    expect(started.output).not.toContain('"msg":"serving"');
    expect(published()).toBe(old.checkpoint);
  });

  it('goes on in a new epoch when the operator says so, for everybody to see', async () => {
    const recovered = await run(['--dev', 'audit', 'recover'], environment);
    expect(recovered).toMatchObject({ code: 0, output: expect.stringContaining('the log of acme goes on as epoch 2') });
    expect(recovered.output).toContain('the log of the installation goes on as epoch 2');
    const again = await run(['--dev', 'audit', 'recover'], environment);
    expect(again).toMatchObject({ code: 0, output: expect.stringContaining('nothing to do') });

    server = await serve(environment);
    api = caller(server.port);
    expect((await ok(api.decrypt({ ...scope, ciphertext }))).plaintext.toString()).toBe('secret');
    const { checkpoint, verifierKey } = await ok(api.getCheckpoint({ orgId: 'acme' }));
    expect(verifierKey).toBe(old.verifierKey);
    const [oldOrigin, oldSize, oldRoot] = old.checkpoint.split('\n');
    const [origin] = checkpoint.split('\n');
    expect(oldOrigin).toMatch(/\/acme\/1$/);
    expect(origin).toBe(oldOrigin?.replace(/1$/, '2'));
    expect(published()).toBe(checkpoint);
    const epoch = (await db.rows('acme')).filter(({ action }) => action === 'audit.epoch');
    expect(epoch.map(({ told, seq }) => [told, seq])).toEqual([
      [
        {
          outcome: 'OK',
          epoch: 2,
          previous_origin: oldOrigin,
          entries: 8,
          signed_size: Number(oldSize),
          signed_root: oldRoot,
        },
        9n,
      ],
    ]);
    expect(await ok(api.verifyChain({ orgId: 'acme' }))).toMatchObject({ valid: true });
  });

  it('shows to the auditor who has a checkpoint from before', async () => {
    const lines = await ok(api.exportLog({ orgId: 'acme' }));
    expect(await auditor.verify(lines, old.verifierKey)).toMatchObject({ code: 0 });
    const verdict = await auditor.verify(lines, old.verifierKey, [old.checkpoint]);
    expect(verdict).toMatchObject({ code: 1, output: expect.stringContaining('CHECKPOINT_ORIGIN') });
  });
});
