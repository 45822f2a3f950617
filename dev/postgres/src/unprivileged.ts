import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The user that PostgreSQL runs as when we are root, which it refuses to be. */
export type Account = { readonly uid: number; readonly gid: number };

/** `postgres` where it exists, else `nobody`; undefined when we are not root and PostgreSQL can run as ourselves. */
export function unprivilegedAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const rows = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  for (const name of ['postgres', '_postgres', 'nobody']) {
    const row = rows.find((fields) => fields[0] === name);
    if (row) return { uid: Number(row[2]), gid: Number(row[3]) };
  }
  throw new Error('PostgreSQL does not run as root, and /etc/passwd has neither a user "postgres" nor "nobody"');
}

/** Whether the account gets into a folder, asked of the kernel: mode bits alone know nothing of ACLs and mounts. */
export function canEnter(account: Account, folder: string): boolean {
  return spawnSync('/bin/sh', ['-c', 'test -x "$1"', 'sh', folder], { ...account, cwd: '/' }).status === 0;
}

/** Whether the account can run a program, libraries included. */
export function canRun(account: Account, program: string): boolean {
  return spawnSync(program, ['--version'], { ...account, cwd: '/', env: {} }).status === 0;
}
