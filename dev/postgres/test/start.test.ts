import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startPostgres } from '../src/index.ts';
import { isAlive } from './processes.ts';

let directory: string;
beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), 'minikms-start-')), 'postgres');
});
afterEach(() => {
  rmSync(join(directory, '..'), { recursive: true, force: true });
});

async function query(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(statement);
    return rows;
  } finally {
    await client.end();
  }
}

test('starts, stops, and finds its data again', async () => {
  const first = await startPostgres({ directory, durable: true, disposable: false });
  await query(first.url, 'CREATE TABLE kept AS SELECT 7 AS n');
  await Promise.all([first.stop(), first.stop()]);
  expect(isAlive(first.pid)).toBe(false);

  const second = await startPostgres({ directory, durable: true, disposable: true });
  expect(await query(second.url, 'SELECT n FROM kept')).toEqual([{ n: 7 }]);
  await second.stop();
});

test('is UTF-8 in the C locale, on loopback only, behind a password nobody else can read', async () => {
  const server = await startPostgres({ directory, durable: false, disposable: true });
  const settings = `SELECT current_setting('server_encoding') AS encoding, datcollate, current_setting('fsync') AS fsync,
    current_setting('listen_addresses') AS addresses, current_setting('unix_socket_directories') AS sockets,
    current_setting('max_connections')::int AS connections FROM pg_database WHERE datname = current_database()`;
  expect(await query(server.url, settings)).toEqual([
    { encoding: 'UTF8', datcollate: 'C', fsync: 'off', addresses: '127.0.0.1', sockets: '', connections: 200 },
  ]);
  const wrong = new URL(server.url);
  wrong.password = 'guess';
  await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow('password authentication failed');
  expect(statSync(join(directory, 'password')).mode & 0o777).toBe(0o600);
  await server.stop();
});

test('refuses a folder that is in use, and leaves its server alone', async () => {
  const server = await startPostgres({ directory, durable: false, disposable: true });
  await expect(startPostgres({ directory, durable: false })).rejects.toThrow(
    `another miniKMS development server is using this folder (pid ${process.pid})`,
  );
  expect(await query(server.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  await server.stop();
});

test('of two first starts at once one wins', async () => {
  const both = await Promise.allSettled(
    [1, 2].map(() => startPostgres({ directory, durable: false, disposable: true })),
  );
  const winners = both.filter((result) => result.status === 'fulfilled');
  expect(winners).toHaveLength(1);
  for (const { value } of winners) {
    expect(await query(value.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    await value.stop();
  }
});

test('deletes what is disposable', async () => {
  const server = await startPostgres({ directory, durable: false, disposable: true });
  await server.stop();
  expect(existsSync(directory)).toBe(false);
});
