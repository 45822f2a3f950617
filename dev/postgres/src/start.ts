import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { openBinaries } from './binaries.ts';
import { openCluster } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { lockFolder } from './folder-lock.ts';
import { openHome } from './home.ts';
import type { Home } from './home.ts';
import { stopLeftover } from './postmaster.ts';
import type { Orders } from './supervisor.ts';

export type StartOptions = {
  /** Where data, password and log live; made when absent. One server at a time. */
  readonly directory: string;
  /** Whether data must survive a power cut. Tests do without, and are faster for it. */
  readonly durable: boolean;
  /** Delete the directory when the server ends, however it ends. */
  readonly disposable?: boolean;
};

/** A running server: `url` names its database `minikms` with the superuser's password, `pid` is the postmaster's. */
export type Postgres = {
  readonly url: string;
  readonly pid: number;
  /** Where its data are: not in the directory when PostgreSQL, which does not run as root, cannot get there. */
  readonly folder: string;
  /** Stops the server and resolves when it is gone; a second call waits for the same end. */
  stop(): Promise<void>;
};

type Supervised = { readonly pid: number; end(): Promise<void> };

/**
 * Starts PostgreSQL on a free port of 127.0.0.1. It ends with this process, in whatever way that ends, and does not
 * keep it alive; signals of the terminal do not reach it.
 */
export async function startPostgres({ directory, durable, disposable = false }: StartOptions): Promise<Postgres> {
  const home = openHome(directory);
  const lock = lockFolder(home.folder);
  try {
    await stopLeftover(join(home.folder, 'data'));
    const bin = await openBinaries(home);
    const cluster = await openCluster(home, bin, directory, durable);
    const remove = disposable ? [home.folder, realpathSync(directory)] : [];
    const { port, server } = await launch(home, cluster, join(bin, 'postgres'), durable, remove);
    const address = `postgresql://minikms:${cluster.password}@127.0.0.1:${port}`;
    await createDatabase(`${address}/postgres`).catch(async (error: unknown) => {
      await server.end();
      throw error;
    });
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      await server.end();
      // Only if somebody killed the supervisor is there anything left.
      await stopLeftover(cluster.data);
      lock.release();
    };
    return { url: `${address}/minikms`, pid: server.pid, folder: home.folder, stop: () => (stopped ??= stop()) };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function launch(
  home: Home,
  cluster: Cluster,
  postgres: string,
  durable: boolean,
  remove: readonly string[],
): Promise<{ port: number; server: Supervised }> {
  // Worth another try: the port went to somebody else meanwhile, or what a killed server left is still going away.
  const passing = /could not bind|Address already in use|pre-existing shared memory|lock file "postmaster\.pid"/;
  const speed = durable ? [] : ['fsync=off', 'full_page_writes=off', 'synchronous_commit=off'];
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const network = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', `port=${port}`, 'max_connections=200'];
    const settings = [...network, ...speed];
    const log = join(home.folder, 'postgres.log');
    const server = await supervise({ postgres, data: cluster.data, settings, account: home.account, remove }, log);
    if (server) return { port, server };
    const report = readFileSync(log, 'utf8').trim();
    if (attempt === 10 || !passing.test(report)) throw new Error(`PostgreSQL did not start:\n${report}`);
    await sleep(500);
    await stopLeftover(cluster.data);
  }
}

/** Undefined when the server ended before it was ready; the log says why. */
async function supervise(orders: Orders, log: string): Promise<Supervised | undefined> {
  const logFile = openSync(log, 'w', 0o600);
  const child = spawn(process.execPath, [fileURLToPath(new URL('supervisor.ts', import.meta.url))], {
    cwd: '/',
    // Not the parent's: NODE_OPTIONS of a test runner have no business here, its secrets even less.
    env: {},
    stdio: ['pipe', 'pipe', logFile],
    detached: true,
  });
  closeSync(logFile);
  const exited = once(child, 'exit');
  // Pipes, both, as `stdio` above says; the types cannot tell when the third stream is a file.
  const [stdin, stdout] = [child.stdin as Socket, child.stdout as Socket];
  stdin.on('error', () => undefined);
  stdin.write(`${JSON.stringify(orders)}\n`);
  const said = createInterface(stdout);
  const ready = await Promise.race([once(said, 'line') as Promise<[string]>, exited.then(() => undefined)]);
  if (!ready) return undefined;
  for (const handle of [child, stdin, stdout]) handle.unref();
  const end = async (): Promise<void> => {
    child.ref();
    stdin.end();
    await exited;
  };
  return { pid: Number(ready[0].split(' ')[1]), end };
}

async function createDatabase(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rowCount } = await client.query("SELECT FROM pg_database WHERE datname = 'minikms'");
    if (rowCount === 0) await client.query('CREATE DATABASE minikms');
  } finally {
    await client.end();
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
