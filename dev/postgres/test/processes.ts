import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export type Owner = {
  readonly process: ChildProcessByStdio<null, Readable, null>;
  /** The postmaster and its parent, the supervisor. */
  readonly postmaster: number;
  readonly supervisor: number;
  nextLine(): Promise<string>;
};

/** Starts `owner.ts` in a process group of its own and waits until its server runs. */
export async function spawnOwner(directory: string): Promise<Owner> {
  const program = fileURLToPath(new URL('owner.ts', import.meta.url));
  const child = spawn(process.execPath, [program, directory], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => {
    const { done, value } = await lines.next();
    if (done) throw new Error('the owner ended');
    return value;
  };
  const { pid: postmaster } = JSON.parse(await nextLine()) as { pid: number };
  return { process: child, postmaster, supervisor: look(postmaster)?.parent ?? Number.NaN, nextLine };
}

export async function killHard(owner: Owner): Promise<void> {
  const exited = once(owner.process, 'exit');
  owner.process.kill('SIGKILL');
  await exited;
}

export function isAlive(pid: number): boolean {
  const found = look(pid);
  return found !== undefined && !found.state.startsWith('Z');
}

function look(pid: number): { state: string; parent: number } | undefined {
  try {
    // Small Linux systems have no `ps`. The second field, the command in parentheses, may itself hold both.
    const fields =
      process.platform === 'linux'
        ? readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '')
        : execFileSync('ps', ['-o', 'stat=,ppid=', '-p', String(pid)], { encoding: 'utf8' });
    const [state = '', parent] = fields.trim().split(/\s+/);
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

export async function waitUntilGone(pid: number, patience: number): Promise<void> {
  const deadline = Date.now() + patience;
  while (isAlive(pid)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} is still there after ${patience} ms`);
    await sleep(50);
  }
}
