import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect, type MiniKms } from '@minikms/client';
import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Sink } from '../src/log.ts';
import { ROOT_KEY, temporaryFile } from './server.ts';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const scope = { tenantId: 'acme', scopeId: 'app' };

let database: Awaited<ReturnType<typeof testDatabase>>;
let child: ChildProcess;
let client: MiniKms;
beforeAll(async () => {
  database = await testDatabase();
});
afterEach(() => {
  client?.close();
  child?.kill('SIGKILL');
});
afterAll(() => database.drop());

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** A development server that logs every call, with this as its standard output. */
async function serveTo(stdout: number | 'pipe', limitFiles = false): Promise<void> {
  const port = await freePort();
  const environment = {
    PATH: process.env['PATH'] ?? '',
    MINIKMS_GRPC_ADDR: `127.0.0.1:${port}`,
    MINIKMS_LOG_LEVEL: 'debug',
    MINIKMS_DB_URL: database.url,
    MINIKMS_ROOT_KEY: ROOT_KEY,
  };
  const server = [process.execPath, MAIN, '--dev'];
  const args = ['-c', `${limitFiles ? 'ulimit -f 1; ' : ''}exec "$@"`, 'sh', ...server];
  child = spawn('sh', args, { env: environment, stdio: ['ignore', stdout, 'inherit'] });
  client = connect({ address: `127.0.0.1:${port}`, deadlineMs: 10_000 });
  await client.ready(30_000);
}

async function stopped(): Promise<{ code: number | null; ms: number }> {
  const began = performance.now();
  const exit = once(child, 'exit') as Promise<[number | null]>;
  child.kill('SIGTERM');
  const [code] = await exit;
  return { code, ms: performance.now() - began };
}

async function encrypt(times: number): Promise<void> {
  const calls = Array.from({ length: times }, () => client.kms.encrypt(scope));
  await Promise.all(calls);
}

describe('a server whose standard output', () => {
  it('is a full disk answers calls, and stops', async () => {
    const full = openSync('/dev/full', 'w');
    await serveTo(full);
    closeSync(full);
    await encrypt(500);
    await sleep(600);
    await encrypt(500);
    const { code, ms } = await stopped();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(8000);
  });

  it('is a file that may not grow answers calls, and stops', async () => {
    const file = temporaryFile('');
    const fd = openSync(file.path, 'a');
    await serveTo(fd, true);
    closeSync(fd);
    await encrypt(500);
    expect((await stopped()).code).toBe(0);
    file.remove();
  });

  it('is a pipe that nobody reads answers calls, and stops', async () => {
    await serveTo('pipe');
    child.stdout?.pause();
    for (let i = 0; i < 20; i++) {
      // oxlint-disable-next-line no-await-in-loop -- more than all buffers on the way hold
      await encrypt(250);
    }
    const { code, ms } = await stopped();
    expect(code).toBe(0);
    expect(ms).toBeLessThan(8000);
  });

  it('is a pipe whose reader left answers calls, and stops', async () => {
    await serveTo('pipe');
    child.stdout?.destroy();
    await encrypt(500);
    expect((await stopped()).code).toBe(0);
  });

  it.each(['file', 'pipe'])('is a %s gets every line, "stopped" being the last', async (kind) => {
    const file = temporaryFile('');
    const fd = openSync(file.path, 'a');
    await serveTo(kind === 'file' ? fd : 'pipe');
    closeSync(fd);
    const piped = child.stdout === null ? undefined : text(child.stdout);
    await encrypt(2000);
    expect((await stopped()).code).toBe(0);
    const output = piped === undefined ? readFileSync(file.path, 'utf8') : await piped;
    file.remove();
    const lines = output.split('\n').filter((line) => line.startsWith('{'));
    const messages = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
    expect(messages.filter((message) => message === 'call')).toHaveLength(2000);
    expect(messages.at(-1)).toBe('stopped');
    expect(output.endsWith('  miniKMS stopped\n')).toBe(true);
  });
});

describe('a sink', () => {
  it('keeps what fits, tears no line, and tells how many were lost, where they are missing', async () => {
    // A pipe of its own: what one process writes and this one reads when it likes.
    const folder = temporaryFile('');
    const path = `${folder.path}.fifo`;
    await once(spawn('mkfifo', [path]), 'exit');
    const reading = openSync(path, 'r+');
    const writing = openSync(path, 'a');
    // Reading and writing do not wait.
    const { O_RDONLY, O_WRONLY, O_NONBLOCK } = (await import('node:fs')).constants;
    const sink = new Sink(openSync(path, O_WRONLY | O_NONBLOCK), 300_000);
    for (let i = 0; i < 10_000; i++) sink.write(`${JSON.stringify({ i, text: 'é'.repeat(20) })}\n`);
    const began = performance.now();
    await sink.flush(10_000);
    expect(performance.now() - began).toBeLessThan(5000);
    const reader = openSync(path, O_RDONLY | O_NONBLOCK);
    const { readSync } = await import('node:fs');
    let seen = '';
    const decoder = new TextDecoder();
    const buffer = Buffer.alloc(65_536);
    for (let idle = 0; idle < 20;) {
      let n = 0;
      try {
        n = readSync(reader, buffer);
      } catch {
        // Nothing there yet.
      }
      idle = n === 0 ? idle + 1 : 0;
      seen += decoder.decode(buffer.subarray(0, n), { stream: true });
      // oxlint-disable-next-line no-await-in-loop -- a reader that is slow
      await sleep(10);
    }
    for (const fd of [reading, writing, reader]) closeSync(fd);
    folder.remove();
    const lines = seen
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { i?: number; lost?: number });
    const kept = lines.filter(({ i }) => i !== undefined).length;
    const lost = lines.reduce((sum, line) => sum + (line.lost ?? 0), 0);
    expect(lost).toBeGreaterThan(0);
    expect(kept + lost).toBe(10_000);
  });
});
