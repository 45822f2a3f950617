// The process between an owner and its PostgreSQL. It has a session of its own, so that Ctrl-C in the owner's terminal
// reaches neither it nor PostgreSQL, and its standard input is a pipe that only the owner holds: however the owner
// ends, the kernel closes the pipe, and then PostgreSQL is stopped.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { cleanEnvironment } from './binaries.ts';
import { readPidFile } from './postmaster.ts';
import type { Account } from './unprivileged.ts';

/** The first line on standard input, as JSON. */
export type Orders = {
  readonly postgres: string;
  readonly data: string;
  readonly settings: readonly string[];
  readonly account: Account | undefined;
  /** Folders to delete at the end. */
  readonly remove: readonly string[];
};

let child: ChildProcess | undefined;
let ready = false;
let stopping = false;

function start(orders: Orders): void {
  // A crash leaves postmaster.pid behind, and when its number has gone to another process PostgreSQL would not start.
  // The owner made sure that it is no server on this data folder; telling PostgreSQL that the number is that of a
  // grandparent makes it go on, to its second check (is the old shared memory attached?), which deleting the file
  // would disable.
  const stale = readPidFile(orders.data)?.pid;
  child = spawn(orders.postgres, ['-D', orders.data, ...orders.settings.flatMap((setting) => ['-c', setting])], {
    ...orders.account,
    cwd: orders.data,
    env: { ...cleanEnvironment(), ...(stale !== undefined && { PG_GRANDPARENT_PID: String(stale) }) },
    stdio: ['ignore', 2, 2],
  });
  const pid = child.pid;
  const poll = setInterval(() => {
    const found = readPidFile(orders.data);
    if (found?.pid !== pid || !found?.ready) return;
    clearInterval(poll);
    ready = true;
    process.stdout.write(`ready ${pid}\n`);
  }, 20);
  const end = (status: number): void => {
    // A start that failed may be tried again, in the same folder.
    if (ready || stopping) for (const folder of orders.remove) rmSync(folder, { recursive: true, force: true });
    process.exit(status);
  };
  child.once('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    end(1);
  });
  child.once('exit', (status) => end(stopping ? 0 : (status ?? 1)));
}

function stop(): void {
  if (stopping) return;
  stopping = true;
  if (!child) process.exit(0);
  child.kill('SIGINT');
  setTimeout(() => child?.kill('SIGQUIT'), 10_000);
}

let input = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (piece: string) => {
  input += piece;
  const end = input.indexOf('\n');
  if (end >= 0 && !child) start(JSON.parse(input.slice(0, end)) as Orders);
});
process.stdin.once('close', stop);
process.stdin.once('error', stop);
process.once('SIGTERM', stop);
process.once('SIGINT', stop);
process.on('SIGHUP', () => undefined);
// The owner may be gone before it could hear that its server is ready.
process.stdout.on('error', () => undefined);
