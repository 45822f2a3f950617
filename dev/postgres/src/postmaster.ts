import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What `postmaster.pid` says: who runs, or ran, on this data folder, and whether it takes connections. */
export type PidFile = { readonly pid: number; readonly ready: boolean };

export function readPidFile(data: string): PidFile | undefined {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    const pid = Math.abs(Number.parseInt(lines[0] ?? '', 10));
    return Number.isNaN(pid) ? undefined : { pid, ready: lines[7]?.trim() === 'ready' };
  } catch {
    return undefined;
  }
}

/** Whether a process is a PostgreSQL server on this data folder: after a crash its pid may have gone to anybody. */
export function isPostmaster(pid: number, data: string): boolean {
  try {
    if (process.platform === 'linux') {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`/postgres\0-D\0${data}\0`);
    }
    const ps = ['-ww', '-o', 'command=', '-p', String(pid)];
    const command = execFileSync('ps', ps, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return command.includes(`/postgres -D ${data} `);
  } catch {
    return false;
  }
}

/** Stops a server that outlived its owner and its supervisor: fast shutdown, then immediate, then by force. */
export async function stopLeftover(data: string): Promise<void> {
  const pid = readPidFile(data)?.pid;
  if (pid === undefined) return;
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (!isPostmaster(pid, data)) return;
    process.kill(pid, signal);
    const deadline = Date.now() + 10_000;
    while (Date.now() < deadline && isPostmaster(pid, data)) await sleep(50);
  }
  if (isPostmaster(pid, data)) throw new Error(`PostgreSQL (pid ${pid}) on ${data} does not stop`);
}
