import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  emptyRoot,
  intervalLeaf,
  openCheckpoint,
  parseOrigin,
  parseVerifierKey,
  TreeFrontier,
} from '@minikms/audit-chain';
import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, caller, type Desk, desk, ok, type Superuser, superuser } from './audit-calls.ts';
import { serve, type TestServer } from './server.ts';

const WAIT = { timeout: 40_000, interval: 50 };

describe('checkpoints of a server that signs each second', () => {
  // Does not exist: the server makes it.
  const folder = mkdtempSync(join(tmpdir(), 'minikms-checkpoints-'));
  const directory = join(folder, 'made', 'by the server');
  let database: Awaited<ReturnType<typeof testDatabase>>;
  let receiver: Server;
  let posted: { type: string; note: string }[];
  let refusing = false;
  let server: TestServer;
  let db: Superuser;
  let api: Caller;
  let auditor: Desk;

  beforeAll(async () => {
    posted = [];
    receiver = createServer((request, response) => {
      let note = '';
      request.on('data', (chunk: Buffer) => (note += chunk.toString()));
      request.on('end', () => {
        if (!refusing) posted.push({ type: `${request.method} ${request.headers['content-type']}`, note });
        response.writeHead(refusing ? 503 : 204).end();
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    const address = receiver.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    auditor = await desk();
    database = await testDatabase();
    server = await serve({
      MINIKMS_DB_URL: database.url,
      MINIKMS_AUDIT_LOG_NAME: 'kms.example.com/audit',
      MINIKMS_AUDIT_CHECKPOINT_SECONDS: '1',
      MINIKMS_AUDIT_CHECKPOINT_DIR: directory,
      MINIKMS_AUDIT_CHECKPOINT_URL: `http://127.0.0.1:${address.port}/checkpoints`,
    });
    db = await superuser(database.url);
    api = caller(server.port);
  });
  afterAll(async () => {
    api.close();
    await server.stop();
    await db.end();
    await database.drop();
    receiver.close();
    auditor.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const file = (tenantId: string) => join(directory, `${tenantId}.checkpoint`);
  const kept = (tenantId: string) => (existsSync(file(tenantId)) ? readFileSync(file(tenantId), 'utf8') : '');
  const sizeOf = (note: string) => Number(note.split('\n')[1] ?? 0);
  const intervals = async () => (await db.rows('_system')).filter(({ action }) => action === 'audit.interval');

  it('prove silence: that of the installation grows while nothing happens', async () => {
    await expect.poll(() => sizeOf(kept('_system')), WAIT).toBeGreaterThan(0);
    const first = sizeOf(kept('_system'));
    await expect.poll(() => sizeOf(kept('_system')), WAIT).toBeGreaterThan(first + 1);
    for (const { told } of await intervals())
      expect(told).toEqual({ failed: 0, logs: 0, root: Buffer.from(emptyRoot()).toString('base64') });
  });

  it('of the logs that grew are under the root of one entry', async () => {
    const scopes = ['acme', 'other/tenant'].map((tenantId) => ({ tenantId, scopeId: 'app' }));
    for (const scope of scopes) await ok(api.encrypt(scope));
    const { verifierKey } = await ok(api.getCheckpoint({ orgId: '_system' }));
    const key = parseVerifierKey(verifierKey);
    expect(key.name).toBe('kms.example.com/audit');
    await expect.poll(() => [kept('acme'), kept('other%2Ftenant')].filter((note) => note === ''), WAIT).toEqual([]);
    // The leaves of all that was published, in every group that an interval may have reported.
    const leaves = scopes.map(({ tenantId }) => {
      const { origin, size, root } = openCheckpoint(kept(encodeURIComponent(tenantId)), [key]);
      expect(parseOrigin(origin)).toMatchObject({ log: 'kms.example.com/audit', tenantId, epoch: 1 });
      expect(size).toBe(2);
      return intervalLeaf({ tenantId, epoch: 1, size, root });
    });
    const rootOf = (of: readonly Uint8Array[]): string => {
      const tree = new TreeFrontier();
      for (const leaf of of) tree.append(leaf);
      return Buffer.from(tree.root()).toString('base64');
    };
    const grown = async () =>
      (await intervals()).filter(({ told }) => told['logs'] !== 0).map(({ told }) => [told['logs'], told['root']]);
    await expect.poll(async () => (await grown()).reduce((sum, [logs]) => sum + Number(logs), 0), WAIT).toBe(2);
    expect([[[2, rootOf(leaves)]], leaves.map((leaf) => [1, rootOf([leaf])])]).toContainEqual(await grown());
  });

  it('verify, with an export, through the command of the auditor', async () => {
    const { verifierKey } = await ok(api.getCheckpoint({ orgId: '_system' }));
    for (const tenantId of ['acme', '_system']) {
      const note = kept(tenantId);
      const lines = await ok(api.exportLog({ orgId: tenantId }));
      expect(await auditor.verify(lines, verifierKey, [note])).toMatchObject({ code: 0 });
    }
  });

  it('are posted, and again after the receiver was away', async () => {
    const { verifierKey } = await ok(api.getCheckpoint({ orgId: '_system' }));
    const key = parseVerifierKey(verifierKey);
    const origins = () => new Set(posted.map(({ note }) => openCheckpoint(note, [key]).origin));
    await expect
      .poll(() => [...origins()].toSorted().map((origin) => origin.slice(22)), WAIT)
      .toEqual(['_system/1', 'acme/1', 'other%2Ftenant/1']);
    expect(new Set(posted.map(({ type }) => type))).toEqual(new Set(['POST text/plain; charset=utf-8']));
    refusing = true;
    await expect.poll(() => server.output(), WAIT).toContain('answered with 503');
    const before = posted.length;
    refusing = false;
    await expect.poll(() => posted.length, WAIT).toBeGreaterThan(before);
  });
});
