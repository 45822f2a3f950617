import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, type MiniKms } from '@minikms/client';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));

export interface TestServer {
  readonly port: number;
  readonly client: MiniKms;
  readonly process: ChildProcess;
  /** Everything that was printed, on both streams. */
  output(): string;
  /** SIGTERM, and the exit code. */
  stop(): Promise<number | null>;
}

export interface Finished {
  readonly code: number | null;
  readonly output: string;
}

/** A root key of its own for each test file. */
export const ROOT_KEY: string = randomBytes(32).toString('hex');

type Environment = Readonly<Record<string, string>>;

function start(args: readonly string[], environment: Environment): { child: ChildProcess; output: () => string } {
  // Nothing of the shell that runs the tests: a MINIKMS_ variable there would change the outcome.
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: {
      PATH: process.env['PATH'] ?? '',
      MINIKMS_GRPC_ADDR: '127.0.0.1:0',
      MINIKMS_LOG_LEVEL: 'info',
      ...environment,
    },
    // With the channel the server ends when the tests do, however they end.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { child, output: () => output };
}

/** Runs the server's command line to its end. */
export async function run(args: readonly string[], environment: Environment): Promise<Finished> {
  const { child, output } = start(args, environment);
  const code = await exited(child);
  return { code, output: output() };
}

/** Starts a server on a free port of the loopback address, and waits until it serves. */
export async function serve(
  environment: Environment,
  options: {
    readonly args?: readonly string[];
    readonly host?: string;
    readonly connect?: Partial<Parameters<typeof connect>[0]>;
  } = {},
): Promise<TestServer> {
  const { child, output } = start(options.args ?? ['--dev'], { MINIKMS_ROOT_KEY: ROOT_KEY, ...environment });
  const port = await new Promise<number>((resolve, reject) => {
    const look = (): void => {
      const found = /"port":(\d+).*"msg":"serving"/.exec(output());
      if (found !== null) resolve(Number(found[1]));
    };
    child.stdout?.on('data', look);
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}: ${output()}`)));
  });
  const client = connect({ address: `${options.host ?? '127.0.0.1'}:${port}`, ...options.connect });
  return {
    port,
    client,
    process: child,
    output,
    async stop() {
      client.close();
      if (child.exitCode === null) child.kill('SIGTERM');
      return exited(child);
    },
  };
}

/** A file with this content in a folder of its own. */
export function temporaryFile(content: string | Buffer): { readonly path: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'minikms-test-'));
  const path = join(folder, 'file');
  writeFileSync(path, content, { mode: 0o600 });
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** What a call fails with; throws when it does not. */
export async function failure(call: Promise<unknown>): Promise<{ code: string; message: string; grpcStatus: number }> {
  try {
    await call;
  } catch (error) {
    return error as { code: string; message: string; grpcStatus: number };
  }
  throw new Error('the call succeeded');
}

function exited(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode);
    else child.once('exit', (code) => resolve(code));
  });
}
