import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startPostgres } from '../src/index.ts';
import { isAlive, killHard, spawnOwner, waitUntilGone } from './processes.ts';

let parent: string;
let directory: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'minikms-death-'));
  directory = join(parent, 'postgres');
});
afterEach(() => {
  rmSync(parent, { recursive: true, force: true });
});

/** The folder still works, which also clears it away. */
async function expectStart(): Promise<void> {
  const server = await startPostgres({ directory, durable: false, disposable: true });
  expect(isAlive(server.pid)).toBe(true);
  await server.stop();
}

test('kill -9 of the owner stops PostgreSQL and its supervisor', async () => {
  const owner = await spawnOwner(directory);
  await killHard(owner);
  await waitUntilGone(owner.postmaster, 5000);
  await waitUntilGone(owner.supervisor, 5000);
  await expectStart();
});

test('a start right after kill -9 of the owner does not trip over what is still stopping', async () => {
  await killHard(await spawnOwner(directory));
  await expectStart();
});

test('kill -9 of owner and supervisor leaves a server that the next start stops', async () => {
  const owner = await spawnOwner(directory);
  process.kill(owner.supervisor, 'SIGKILL');
  await killHard(owner);
  expect(isAlive(owner.postmaster)).toBe(true);
  await expectStart();
  expect(isAlive(owner.postmaster)).toBe(false);
});

test('kill -9 of owner, supervisor and postmaster does not stop the next start', async () => {
  const owner = await spawnOwner(directory);
  process.kill(owner.supervisor, 'SIGKILL');
  process.kill(owner.postmaster, 'SIGKILL');
  await killHard(owner);
  await expectStart();
});

test('a postmaster.pid whose number went to another process does not stop the next start, nor harm the process', async () => {
  const owner = await spawnOwner(directory);
  process.kill(owner.supervisor, 'SIGKILL');
  process.kill(owner.postmaster, 'SIGKILL');
  await killHard(owner);
  const { folder } = JSON.parse(readLocation()) as { folder: string };
  const pidFile = join(folder, 'data', 'postmaster.pid');
  writeFileSync(pidFile, readFileSync(pidFile, 'utf8').replace(/^\d+/, String(process.pid)));
  await expectStart();
});

test('Ctrl-C in the terminal leaves the server to the owner, which can still ask it', async () => {
  const owner = await spawnOwner(directory);
  const exited = once(owner.process, 'exit');
  // What a terminal does: the signal goes to the whole process group, which the owner leads.
  process.kill(-(owner.process.pid ?? Number.NaN), 'SIGINT');
  expect(await owner.nextLine()).toBe('{"answer":42}');
  expect(await exited).toEqual([0, null]);
  expect(isAlive(owner.postmaster)).toBe(false);
  await expectStart();
});

function readLocation(): string {
  try {
    return readFileSync(join(directory, 'location.json'), 'utf8');
  } catch {
    return JSON.stringify({ folder: directory });
  }
}
