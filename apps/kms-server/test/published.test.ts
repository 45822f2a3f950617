import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatOrigin, signCheckpoint, verifierKey } from '@minikms/audit-chain';
import { SecretBytes, Signer } from '@minikms/crypto-core';
import { testDatabase } from '@minikms/dev-postgres';
import { afterEach, describe, expect, it } from 'vitest';
import { PublishedCheckpoints, type PublishedOptions } from '../src/audit/published.ts';
import { caller, ok, superuser } from './audit-calls.ts';
import { health } from './health.ts';
import { ROOT_KEY, run, serve } from './server.ts';

const LOG = 'kms.example.com/audit';
const WAIT = { timeout: 40_000, interval: 50 };
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const signer = Signer.fromSeed(SecretBytes.take('signing-seed', new Uint8Array(32).fill(1)));
const other = Signer.fromSeed(SecretBytes.take('signing-seed', new Uint8Array(32).fill(2)));
const note = (tenantId: string, size: number, epoch = 1, by = signer): string => {
  const root = new Uint8Array(32).fill(size);
  return signCheckpoint({ origin: formatOrigin({ log: LOG, tenantId, epoch }), size, root }, [
    { name: LOG, signer: by },
  ]);
};

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'minikms-published-'));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function open(more: Partial<PublishedOptions> = {}): Promise<PublishedCheckpoints> {
  const key = verifierKey(LOG, signer.publicKey);
  const published = new PublishedCheckpoints({ key, directory: undefined, url: undefined, onProblem() {}, ...more });
  await published.load();
  return published;
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${address.port}/secret-path`;
}

describe('published checkpoints', () => {
  it('never go back, in whatever order they are published at once', async () => {
    const directory = folder();
    const published = await open({ directory });
    const sizes = Array.from({ length: 30 }, (_, i) => ((i * 7) % 30) + 1);
    await published.publish('acme', note('acme', 1));
    await Promise.all([50, ...sizes].map((size) => published.publish('acme', note('acme', size))));
    expect(await published.highest('acme')).toMatchObject({ epoch: 1, size: 50 });
    expect(readFileSync(join(directory, 'acme.checkpoint'), 'utf8')).toBe(note('acme', 50));
    await published.publish('acme', note('acme', 1, 2));
    await published.publish('acme', note('acme', 60, 1));
    expect(await (await open({ directory })).highest('acme')).toMatchObject({ epoch: 2, size: 1 });
  });

  it('are not known when they could not be written, and leave nothing behind', async () => {
    const directory = folder();
    const published = await open({ directory });
    // No file takes the place of a folder.
    mkdirSync(join(directory, 'acme.checkpoint'));
    await expect(published.publish('acme', note('acme', 1))).rejects.toThrow();
    expect(await published.highest('acme')).toBeUndefined();
    expect(readdirSync(directory)).toEqual(['acme.checkpoint']);
    rmSync(join(directory, 'acme.checkpoint'), { recursive: true });
    await published.publish('acme', note('acme', 1));
    expect(readdirSync(directory)).toEqual(['acme.checkpoint']);
    expect(await published.highest('acme')).toMatchObject({ size: 1 });
  });

  it('are known without the directory once they were read', async () => {
    const directory = folder();
    await (await open({ directory })).publish('acme', note('acme', 5));
    const published = await open({ directory });
    rmSync(directory, { recursive: true });
    expect(await published.highest('acme')).toMatchObject({ epoch: 1, size: 5 });
    expect(await published.highest('other')).toBeUndefined();
  });

  it('have names that cannot be those of others', async () => {
    const directory = join(folder(), 'made');
    const published = await open({ directory });
    const long = 'x'.repeat(128);
    const ids = ['_system', 'acme', 'Acme', 'ACME', 'a/b', `${'@:/'.repeat(40)}a`, long];
    // Those that try to be the file of another.
    ids.push('acme.checkpoint', 'sha256-'.padEnd(71, '0'), '23'.padEnd(66, '0'), 'a-2fb', 'a%2Fb', '#'.padEnd(65, '0'));
    for (const [i, id] of ids.entries()) await published.publish(id, note(id, i + 1));
    const names = readdirSync(directory).map((name) => name.toLowerCase());
    expect(new Set(names).size).toBe(ids.length);
    expect(names).toEqual(expect.arrayContaining(['_system.checkpoint', 'acme.checkpoint', `${long}.checkpoint`]));
    const again = await open({ directory });
    for (const [i, id] of ids.entries()) expect(await again.highest(id)).toMatchObject({ size: i + 1 });
    expect([...again.all()].map(({ tenantId }) => tenantId).toSorted()).toEqual(ids.toSorted());
    expect(statSync(directory).mode & 0o027).toBe(0);
    expect(statSync(join(directory, 'acme.checkpoint')).mode & 0o137).toBe(0);
  });

  it.each([
    ['is empty', 'acme', ''],
    ['is cut off', 'acme', note('acme', 3).slice(0, -9)],
    ['was changed', 'acme', note('acme', 3).replace('\n3\n', '\n4\n')],
    ['is signed by another key', 'acme', note('acme', 3, 1, other)],
    ['is that of another log', 'acme', note('other', 3)],
    ['has a name that is none', 'Acme', note('Acme', 3)],
  ])('are not loaded when a file %s', async (_, name, content) => {
    const directory = folder();
    writeFileSync(join(directory, `${name}.checkpoint`), content);
    writeFileSync(join(directory, 'README'), 'is left alone');
    await expect(open({ directory })).rejects.toThrow(`"${name}.checkpoint"`);
  });

  it('of others are learnt when they are signed, and not sent', async () => {
    const posted: string[] = [];
    const url = await listening(
      createServer((request, response) => {
        posted.push(String(request.url));
        request.resume().on('end', () => response.end());
      }),
    );
    const directory = folder();
    const published = await open({ directory, url });
    await published.learn('_system', note('_system', 7));
    await published.learn('_system', note('_system', 6));
    expect(readFileSync(join(directory, '_system.checkpoint'), 'utf8')).toBe(note('_system', 7));
    await expect(published.learn('_system', note('_system', 9, 1, other))).rejects.toThrow();
    await expect(published.learn('_system', note('acme', 9))).rejects.toMatchObject({ code: 'ORIGIN_INVALID' });
    expect(await published.highest('_system')).toMatchObject({ size: 7 });
    await published.close();
    expect(posted).toEqual([]);
    // Learnt first from the store by the server that makes it: it is sent all the same.
    await published.publish('_system', note('_system', 7));
    await expect.poll(() => posted, WAIT).toEqual(['/secret-path']);
  });
});

describe('checkpoints for a URL', () => {
  it('do not keep the server from stopping when nobody answers, four at a time', async () => {
    const waiting: ServerResponse[] = [];
    const url = await listening(createServer((_, response) => void waiting.push(response)));
    const problems: string[] = [];
    const onProblem = (_: string, error: unknown): number => problems.push(String(error));
    const published = await open({ url, onProblem, closeMs: 1 });
    for (let i = 1; i <= 100; i++) await published.publish(`t${i}`, note(`t${i}`, 1));
    await expect.poll(() => waiting.length, WAIT).toBe(4);
    await published.close();
    expect(waiting.length).toBe(4);
    expect(problems.length).toBeLessThanOrEqual(5);
    expect(problems.join('\n')).toContain('the checkpoint URL cannot be reached');
  });

  it('are sent in the order of their log, the newest alone, and problems do not tell the URL', async () => {
    const answers: ServerResponse[] = [];
    const posted: string[] = [];
    const url = await listening(
      createServer((request, response) => {
        let text = '';
        request.on('data', (chunk: Buffer) => (text += chunk.toString()));
        request.on('end', () => {
          posted.push(text);
          answers.push(response);
        });
      }),
    );
    const problems: string[] = [];
    const published = await open({ url, onProblem: (_, error) => problems.push(String(error)) });
    for (let size = 1; size <= 5; size++) await published.publish('acme', note('acme', size));
    await expect.poll(() => answers.length, WAIT).toBe(1);
    answers[0]?.writeHead(302, { location: '/secret-path/again' }).end();
    await expect.poll(() => answers.length, WAIT).toBe(2);
    answers[1]?.writeHead(500).end('secret answer');
    await published.close();
    expect(posted).toEqual([note('acme', 1), note('acme', 5)]);
    expect(problems).toEqual([
      'Error: the checkpoint URL cannot be reached',
      'Error: the checkpoint URL answered with 500',
    ]);
  });
});

describe('servers with folders of their own', () => {
  it('know what another server signed, tell of an incident, and go on when the operator says so', async () => {
    const database = await testDatabase();
    cleanups.push(() => database.drop());
    const directories = [folder(), folder()] as const;
    const environment = (directory: string) => ({
      MINIKMS_DB_URL: database.url,
      MINIKMS_ROOT_KEY: ROOT_KEY,
      MINIKMS_AUDIT_CHECKPOINT_DIR: directory,
      MINIKMS_AUDIT_CHECKPOINT_SECONDS: '1',
    });
    const [signing, learning] = await Promise.all(directories.map((directory) => serve(environment(directory))));
    if (signing === undefined || learning === undefined) throw new Error('no servers');
    cleanups.push(
      () => signing.stop(),
      () => learning.stop(),
    );
    const db = await superuser(database.url);
    cleanups.push(() => db.end());
    const api = caller(signing.port);
    cleanups.push(() => api.close());
    await db.query("UPDATE audit_schedule SET due_at = 'infinity'");
    const rows = await db.rows('_system');
    expect(rows.filter(({ action }) => action === 'server.start').map(({ told }) => told['checkpoints'])).toEqual([
      'directory',
      'directory',
    ]);
    await ok(api.encrypt({ tenantId: 'acme', scopeId: 'app' }));
    // A backup is made here; what follows is lost with it.
    const tables = ['kms_audit_log', 'audit_heads', 'audit_checkpoints', 'audit_tree', 'audit_subjects'];
    for (const table of tables) await db.query(`CREATE TABLE backup_${table} AS TABLE ${table}`);
    await ok(api.encrypt({ tenantId: 'acme', scopeId: 'app' }));
    await ok(api.getCheckpoint({ orgId: 'acme' }));
    for (let i = 0; i < 5; i++) await ok(api.getCheckpoint({ orgId: '_system' }));
    const { checkpoint } = await ok(api.getCheckpoint({ orgId: '_system' }));
    const kept = join(directories[1], '_system.checkpoint');
    await expect.poll(() => existsSync(kept) && readFileSync(kept, 'utf8'), WAIT).toBe(checkpoint);

    expect(await health(signing.port)).toBe('SERVING');
    for (const table of tables)
      await db.tamper(`DELETE FROM ${table}; INSERT INTO ${table} SELECT * FROM backup_${table}`);
    expect(await api.encrypt({ tenantId: 'acme', scopeId: 'app' })).toMatchObject({ code: 'AUDIT_LOG_BEHIND' });
    expect(await health(signing.port)).toBe('NOT_SERVING');

    // Nobody called this one.
    await expect.poll(() => health(learning.port), WAIT).toBe('NOT_SERVING');

    await learning.stop();
    const started = await run(['--dev'], environment(directories[1]));
    expect(started).toMatchObject({ code: 1, output: expect.stringContaining('AUDIT_LOG_BEHIND') });
    expect(started.output).toContain('kms-server audit recover');
    expect(started.output).toContain('_system');

    const recovered = await run(['--dev', 'audit', 'recover'], environment(directories[0]));
    expect(recovered).toMatchObject({ code: 0, output: expect.stringContaining('the log of acme goes on') });
    const told = (await db.rows('_system')).filter(({ action }) => action === 'audit.recover').map((row) => row.told);
    expect(told).toHaveLength(2);
    expect(told).toEqual(
      expect.arrayContaining([
        { outcome: 'OK', tenant: 'acme', epoch: 2 },
        { outcome: 'OK', tenant: '_system', epoch: 2 },
      ]),
    );
    await expect.poll(() => health(signing.port), WAIT).toBe('SERVING');
    const again = await run(['--dev', 'audit', 'recover'], environment(directories[0]));
    expect(again).toMatchObject({ code: 0, output: expect.stringContaining('audit recover TENANT') });
  });
});
