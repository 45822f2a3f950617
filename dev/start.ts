// The development server: PostgreSQL, a root key and kms-server, with everything it keeps in `.minikms`. Ctrl-C stops
// first the server and then its database; so does the end of this process or of the one that started it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from './postgres/src/index.ts';
import type { Postgres } from './postgres/src/index.ts';
import { ensureRootKey } from './root-key.ts';

const root = join(import.meta.dirname, '..');
const state = join(root, '.minikms');
const rootKeyFile = join(state, 'root-key');

const stopped = new AbortController();
// The terminal sends Ctrl-C to the server as well; 'disconnect' comes from scripts/workspace.mjs.
for (const event of ['SIGINT', 'SIGTERM', 'SIGHUP', 'disconnect']) process.on(event, () => stopped.abort());

async function main(args: readonly string[]): Promise<number> {
  mkdirSync(state, { recursive: true });
  chmodSync(state, 0o700);
  ensureRootKey(rootKeyFile);
  const postgres = await startPostgres({ directory: join(state, 'postgres'), durable: true });
  try {
    if (stopped.signal.aborted) return 0;
    console.error(`PostgreSQL is running, its data in ${postgres.folder}`);
    return await serve(postgres, args);
  } finally {
    await postgres.stop();
    console.error('PostgreSQL stopped');
  }
}

/** Runs kms-server until it ends, and has it end when we should. */
async function serve(postgres: Postgres, args: readonly string[]): Promise<number> {
  // What this server is made of is not the user's configuration, which may be that of another one.
  const { MINIKMS_ROOT_KEY: _key, MINIKMS_DB_URL_FILE: _url, ...inherited } = process.env;
  const server = spawn(process.execPath, [join(root, 'apps', 'kms-server', 'dist', 'main.js'), '--dev', ...args], {
    env: {
      MINIKMS_GRPC_ADDR: '127.0.0.1:50051',
      ...inherited,
      MINIKMS_DB_URL: postgres.url,
      MINIKMS_ROOT_KEY_FILE: rootKeyFile,
    },
    // The server stops gracefully when this channel closes, be it by us or by our death.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  // A moment later: from a terminal the server has the Ctrl-C itself, and coming second it would look like impatience.
  const stop = (): void => {
    setTimeout(() => server.connected && server.disconnect(), 250);
  };
  stopped.signal.addEventListener('abort', stop);
  const [status, signal] = (await once(server, 'exit')) as [number | null, NodeJS.Signals | null];
  return status ?? 128 + (signal ? constants.signals[signal] : 0);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
// The channel to our parent would keep us here.
if (process.connected) process.disconnect?.();
