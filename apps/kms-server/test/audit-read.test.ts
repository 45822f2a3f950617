import { Client, credentials } from '@grpc/grpc-js';
import {
  entryHash,
  leafHash,
  openCheckpoint,
  parseVerifierKey,
  verifyConsistency,
  verifyInclusion,
} from '@minikms/audit-chain';
import { testDatabase } from '@minikms/dev-postgres';
import type { AuditEntry } from '@minikms/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, caller, type Desk, desk, ok, type Superuser, superuser } from './audit-calls.ts';
import { health } from './health.ts';
import { serve, type TestServer } from './server.ts';

let database: Awaited<ReturnType<typeof testDatabase>>;
let server: TestServer;
let db: Superuser;
let api: Caller;
let auditor: Desk;

beforeAll(async () => {
  auditor = await desk();
  database = await testDatabase();
  await start({});
});
afterAll(async () => {
  await stop();
  await database.drop();
  auditor.remove();
});

async function start(more: Record<string, string>): Promise<void> {
  server = await serve({ MINIKMS_DB_URL: database.url, ...more });
  db = await superuser(database.url);
  await db.query("UPDATE audit_schedule SET due_at = 'infinity'");
  api = caller(server.port);
}

async function stop(): Promise<void> {
  api.close();
  expect(await server.stop()).toBe(0);
  await db.end();
}

/** A key and so many uses of it, many at a time. */
async function fill(tenantId: string, uses: number): Promise<string[]> {
  const scope = { tenantId, scopeId: 'app' };
  const { position } = await api.createDataKey(scope);
  const made = await Promise.all(Array.from({ length: uses }, () => api.encrypt(scope)));
  return [position, ...made.map((one) => one.position)];
}

/** What reflection answers when it is asked for all services. */
function services(): Promise<string> {
  const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
  const same = (value: Buffer): Buffer => value;
  const path = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
  const stream = client.makeBidiStreamRequest(path, same, same);
  stream.write(Buffer.from('\x3a\x01*'));
  stream.end();
  return new Promise((resolve, reject) => {
    let answer = '';
    stream.on('data', (message: Buffer) => (answer += message.toString('latin1')));
    stream.on('error', reject);
    stream.on('end', () => {
      client.close();
      resolve(answer);
    });
  });
}

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
/** The hash, from nothing but what was answered. */
function recomputed(entry: AuditEntry): string {
  const { seq, timestampUs, action, actorId, details, orgId: tenantId } = entry;
  const hash = entryHash({
    seq,
    timestampUs,
    action,
    actorId,
    details,
    tenantId,
    requestJwtHash: bytes(entry.requestJwtHash),
    previousHash: bytes(entry.previousHash),
  });
  return Buffer.from(hash).toString('hex');
}

const descending = (from: number, count: number) => Array.from({ length: count }, (_, i) => BigInt(from - i));

describe('GetAuditLogs', () => {
  const orgId = 'reader';
  beforeAll(async () => {
    await fill(orgId, 127);
    for (let i = 0; i < 3; i++) {
      // Each at a time of its own.
      await new Promise((resolve) => setTimeout(resolve, 5));
      await ok(api.encrypt({ tenantId: orgId, scopeId: 'app' }));
    }
  });
  const read = async (fields: Omit<Parameters<Caller['getAuditLogs']>[0], 'orgId'>) =>
    ok(api.getAuditLogs({ orgId, ...fields }));
  const seqs = ({ entries }: { entries: readonly AuditEntry[] }) => entries.map(({ seq }) => seq);

  it('answers the newest hundred, or as many as are asked for', async () => {
    const newest = BigInt((await db.rows(orgId)).length);
    expect(newest).toBe(131n);
    const answer = await read({});
    expect(seqs(answer)).toEqual(descending(131, 100));
    expect(answer.nextBeforeSeq).toBe(32n);
    // Each call is an entry of its own.
    expect(seqs(await read({ limit: 1 }))).toEqual([132n]);
    expect(seqs(await read({ limit: 1000 }))).toEqual(descending(133, 133));
    expect(seqs(await read({ limit: 3, offset: 10 }))).toEqual(descending(124, 3));
    expect(await read({ offset: 1000 })).toEqual({ entries: [], nextBeforeSeq: 0n });
    for (const fields of [{ limit: -1 }, { limit: 1001 }, { offset: -1 }, { offset: 100_001 }, { action: 'a\0' }])
      expect(await api.getAuditLogs({ orgId, ...fields })).toMatchObject({ code: 'FIELD_INVALID' });
  });

  it('pages over everything, with nothing lost or twice while entries come in', async () => {
    const from = BigInt((await db.rows(orgId)).length);
    const seen: bigint[] = [];
    for (let beforeSeq = from + 1n; beforeSeq !== 0n;) {
      const page = await read({ limit: 7, beforeSeq });
      seen.push(...seqs(page));
      beforeSeq = page.nextBeforeSeq;
    }
    expect(seen).toEqual(descending(Number(from), Number(from)));
  });

  it('answers all that is hashed, so that every hash can be computed again', async () => {
    const { entries } = await read({ limit: 1000 });
    const rows = (await db.rows(orgId)).toReversed();
    const stored = rows.filter(({ seq }) => seq <= (entries[0]?.seq ?? 0n));
    expect(entries.map(({ id, details }) => [id, details])).toEqual(stored.map(({ id, details }) => [id, details]));
    for (const [i, entry] of entries.entries()) {
      expect(recomputed(entry)).toBe(entry.entryHash);
      expect(entry.previousHash).toBe(entries[i + 1]?.entryHash ?? '0'.repeat(64));
      expect(entry).toMatchObject({ actorId: 'anonymous', requestJwtHash: '', orgId });
      expect(entry.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
      const micros = BigInt(new Date(entry.timestamp.slice(0, 23) + 'Z').getTime()) * 1000n;
      expect(micros + BigInt(entry.timestamp.slice(23, 26))).toBe(entry.timestampUs);
    }
  });

  it('filters by action, actor and time', async () => {
    const rows = await db.rows(orgId);
    const uses = rows.filter(({ action }) => action === 'kms.encrypt');
    const times = uses.map(({ timestampUs }) => timestampUs).toSorted((a, b) => Number(a - b));
    const [from, before] = [times.at(-3)!, times.at(-1)!];
    const inside = uses.filter(({ timestampUs }) => timestampUs >= from && timestampUs < before);
    expect(inside.length).toBeGreaterThan(0);
    expect(inside.length).toBeLessThan(uses.length);
    const filter = { limit: 1000, action: 'kms.encrypt', actorId: 'anonymous' };
    expect(seqs(await read(filter))).toEqual(uses.map(({ seq }) => seq).toReversed());
    expect(seqs(await read({ ...filter, fromTimestampUs: from, beforeTimestampUs: before }))).toEqual(
      inside.map(({ seq }) => seq).toReversed(),
    );
    expect(seqs(await read({ ...filter, actorId: 'nobody' }))).toEqual([]);
    expect(seqs(await read({ action: 'kms.key.create' }))).toEqual([1n]);
  });
});

describe('proofs', () => {
  it('of what a caller was told where it stands', async () => {
    const orgId = 'prover';
    const positions = await fill(orgId, 20);
    const { verifierKey } = await ok(api.getCheckpoint({ orgId }));
    for (const position of [positions[0]!, positions[7]!, positions[20]!]) {
      const seq = BigInt(position.split('#')[1] ?? '');
      const { receipt } = await ok(api.getReceipt({ orgId, seq }));
      const verdict = await auditor.verifyReceipt(receipt, verifierKey);
      expect(verdict).toMatchObject({ code: 0, output: expect.stringContaining(`\n${seq} `) });
      const forged = receipt.replaceAll(/[A-Za-z0-9+/]{43}=\n/g, `${Buffer.alloc(32, 1).toString('base64')}\n`);
      expect((await auditor.verifyReceipt(forged, verifierKey)).code).toBe(1);
    }
  });

  it('that an entry is in the log, and that a log goes on from what it was', async () => {
    const orgId = 'proven';
    await fill(orgId, 20);
    const rows = await db.rows(orgId);
    const old = await ok(api.getCheckpoint({ orgId }));
    const key = parseVerifierKey(old.verifierKey);
    await Promise.all(Array.from({ length: 300 }, () => api.encrypt({ tenantId: orgId, scopeId: 'app' })));
    const before = openCheckpoint(old.checkpoint, [key]);
    const consistency = await ok(api.getConsistencyProof({ orgId, oldSize: old.size }));
    await ok(api.getCheckpoint({ orgId }));
    const later = await ok(api.getConsistencyProof({ orgId, oldSize: old.size }));
    for (const { hashes, checkpoint } of [consistency, later]) {
      const { size, root } = openCheckpoint(checkpoint, [key]);
      expect(verifyConsistency(before.size, size, before.root, root, hashes)).toBe(true);
    }
    expect(openCheckpoint(later.checkpoint, [key]).size).toBeGreaterThan(300);
    for (const { seq, entryHash: stored } of rows) {
      const proof = await ok(api.getInclusionProof({ orgId, seq }));
      const { size, root } = openCheckpoint(proof.checkpoint, [key]);
      expect(proof.leafHash).toEqual(Buffer.from(leafHash(stored)));
      expect(verifyInclusion(proof.leafHash, Number(seq) - 1, size, proof.hashes, root)).toBe(true);
      expect(verifyInclusion(proof.leafHash, Number(seq), size, proof.hashes, root)).toBe(false);
    }
  });
});

describe('the log of the installation', () => {
  it('has nothing of health checks and reflection', async () => {
    const before = await db.rows();
    expect(await health(server.port)).toBe('SERVING');
    expect(await services()).toContain('minikms.v1.AuditService');
    await ok(api.createDataKey({ tenantId: 'after', scopeId: 'app' }));
    const ids = before.map(({ id }) => id);
    expect((await db.rows()).map(({ id }) => id).filter((id) => !ids.includes(id))).toEqual(['after#1']);
  });

  it('has what the server did by itself: migrations, starts with their configuration, stops', async () => {
    await stop();
    await start({ MINIKMS_MAX_ENCRYPTIONS_PER_KEY: '100' });
    const { entries } = await ok(api.getAuditLogs({ orgId: '_system', limit: 1000 }));
    const all = entries.toReversed().map(({ action, actorId, details }) => ({
      action,
      actorId,
      told: JSON.parse(details) as Record<string, unknown>,
    }));
    const of = (action: string) => all.filter((entry) => entry.action === action);
    const migrations = await db.query('SELECT migration_name FROM _prisma_migrations ORDER BY migration_name');
    expect(of('server.migrate').map(({ told }) => told['migration'])).toEqual(
      (migrations.rows as { migration_name: string }[]).map((row) => row.migration_name),
    );
    expect(of('server.stop')).toMatchObject([{ actorId: '_system', told: { outcome: 'OK', reason: 'SIGTERM' } }]);
    const [first, second] = of('server.start');
    for (const start of [first, second])
      expect(start?.told).toMatchObject({
        mode: 'development',
        configuration: expect.stringMatching(/^[0-9a-f]{64}$/),
      });
    expect(first?.told['configuration']).not.toBe(second?.told['configuration']);
    expect(await ok(api.verifyChain({ orgId: '_system' }))).toMatchObject({ valid: true });
    const lines = await ok(api.exportLog({ orgId: '_system' }));
    const { verifierKey } = await ok(api.getCheckpoint({ orgId: '_system' }));
    expect(await auditor.verify(lines, verifierKey)).toMatchObject({ code: 0 });
  });

  it('has each rotation that nobody asked for', async () => {
    const scope = { tenantId: 'spent', scopeId: 'app' };
    const made = await Promise.all(Array.from({ length: 150 }, () => ok(api.encrypt(scope))));
    const versions = new Set(made.map(({ keyVersionId }) => keyVersionId));
    expect(versions.size).toBeGreaterThan(1);
    const rotations = async () => {
      const rows = [...(await db.rows('_system')), ...(await db.rows('spent'))];
      return rows.filter(({ action, told }) => action === 'kms.key.rotate' && told['automatic'] === true);
    };
    await expect.poll(async () => (await rotations()).length, { timeout: 20_000 }).toBeGreaterThan(0);
    const rotated = await rotations();
    const made2 = await db.query('SELECT count(*) AS n FROM key_versions WHERE tenant_id = $1', ['spent']);
    expect(rotated).toHaveLength(Number((made2.rows as { n: string }[])[0]?.n) - 1);
    for (const { tenantId, actorId, told } of rotated) {
      expect(told).toMatchObject({ outcome: 'OK', scope: 'app', version: expect.any(Number) });
      if (tenantId === '_system')
        expect({ actorId, told }).toMatchObject({ actorId: '_system', told: { tenant: 'spent' } });
      else expect(told['request']).toEqual(expect.any(String));
      expect(versions.has(String(told['replaces']))).toBe(true);
    }
  });
});
