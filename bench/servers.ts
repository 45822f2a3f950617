// Starts the servers that are measured, each in a process of its own.
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connect, type MiniKms } from '@minikms/client';
import { startPostgres, testDatabase } from '@minikms/dev-postgres';
import type { Contestant } from './rounds.ts';
import type { Stage } from './stage.ts';

export interface Target {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

/** The real server, and a client of it that is not part of the load. */
export interface KmsTarget extends Target {
  readonly minikms: MiniKms;
  readonly dbUrl: string;
}

export interface KmsOptions {
  readonly nodeFlags?: readonly string[];
  /** Of the servers that share a database; a new key when left out. */
  readonly rootKeyFile?: string;
  /** `false`: with an audit sink that does nothing. */
  readonly audited?: boolean;
}

const NO_AUDIT = pathToFileURL(join(import.meta.dirname, 'no-audit.ts')).href;
const SERVER = 'MINIKMS_TEST_DB_URL';

/** An empty database that goes when the run ends, on a server that waits for the disk: the tests' own does not. */
export async function database(stage: Stage): Promise<string> {
  if (process.env[SERVER] === undefined) {
    const directory = await mkdtemp(join(tmpdir(), 'minikms-bench-db-'));
    const server = await startPostgres({ directory, durable: true, disposable: true });
    process.env[SERVER] = server.url;
    stage.atEnd(() => server.stop());
  }
  const made = await testDatabase();
  stage.atEnd(async () => made.drop());
  return made.url;
}

export function newRootKey(stage: Stage): string {
  const file = join(stage.folder, `root-key-${randomBytes(4).toString('hex')}`);
  writeFileSync(file, randomBytes(32).toString('hex'), { mode: 0o600 });
  return file;
}

export async function startKms(
  stage: Stage,
  dbUrl: string,
  { nodeFlags = [], rootKeyFile = newRootKey(stage), audited = true }: KmsOptions = {},
): Promise<KmsTarget> {
  const port = await freePort();
  const program = join(import.meta.dirname, '..', 'apps', 'kms-server', 'dist', 'main.js');
  const { child, stop } = stage.start(program, ['--dev'], {
    execArgv: [...nodeFlags, ...(audited ? [] : ['--import', NO_AUDIT])],
    env: {
      MINIKMS_DB_URL: dbUrl,
      MINIKMS_ROOT_KEY_FILE: rootKeyFile,
      MINIKMS_GRPC_ADDR: `127.0.0.1:${port}`,
      MINIKMS_LOG_LEVEL: 'warn',
    },
  });
  const minikms = connect({ address: `127.0.0.1:${port}`, deadlineMs: 30_000 });
  stage.atEnd(() => minikms.close());
  await Promise.race([minikms.ready(60_000), early(child, 'kms-server')]);
  const stopBoth = async (): Promise<void> => {
    minikms.close();
    await stop();
  };
  return { port, pid: child.pid as number, minikms, dbUrl, stop: stopBoth };
}

export async function startEcho(stage: Stage, nodeFlags: readonly string[] = []): Promise<Target> {
  const { child, stop } = stage.start(join(import.meta.dirname, 'echo.ts'), [], { execArgv: [...nodeFlags] });
  const { port } = await answer<{ port: number }>(child, early(child, 'the echo'));
  return { port, pid: child.pid as number, stop };
}

/** The bare cipher loop: a function that runs it for some seconds. */
export function startBareCipher(stage: Stage): (seconds: number) => Promise<number> {
  const { child } = stage.start(join(import.meta.dirname, 'bare-cipher.ts'), [], { execArgv: [] });
  const ended = early(child, 'the cipher loop');
  ended.catch(() => undefined);
  return async (seconds) => {
    child.send(seconds);
    return (await answer<{ itemsPerSecond: number }>(child, ended)).itemsPerSecond;
  };
}

/** Verifies an export of so many entries, each time that it is run; its file is made when this returns. */
export async function startExportVerifier(stage: Stage, entries: number): Promise<Contestant> {
  const file = join(stage.folder, 'export.jsonl');
  const { child } = stage.start(join(import.meta.dirname, 'export-verifier.ts'), [file, String(entries)], {
    execArgv: [],
  });
  const ended = early(child, 'the verifier');
  ended.catch(() => undefined);
  const { pid } = await answer<{ pid: number }>(child, ended);
  return {
    pid,
    async run() {
      child.send('verify');
      return { items: entries, seconds: (await answer<{ seconds: number }>(child, ended)).seconds };
    },
  };
}

async function answer<Message>(child: ChildProcess, ended: Promise<never>): Promise<Message> {
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [Message];
  return message;
}

/** Never resolves: rejects when the process ends. */
async function early(child: ChildProcess, name: string): Promise<never> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  throw new Error(`${name} ended early`);
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
