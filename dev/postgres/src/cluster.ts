import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { cleanEnvironment } from './binaries.ts';
import type { Home } from './home.ts';

/** A data folder and the password of its superuser, `minikms`. */
export type Cluster = { readonly data: string; readonly password: string };

/** Makes the data folder unless it is there. The caller holds the lock of the home. */
export async function openCluster(home: Home, bin: string, directory: string, durable: boolean): Promise<Cluster> {
  const data = join(home.folder, 'data');
  const passwordFile = join(directory, 'password');
  if (existsSync(data) && existsSync(passwordFile)) {
    return { data, password: readFileSync(passwordFile, 'utf8').trim() };
  }
  if (existsSync(data)) {
    if (!home.borrowed) throw new Error(`${passwordFile} is missing: restore it, or delete ${directory} to start anew`);
    // Left by a clone that stood at this path and was deleted, password and root key with it: nobody can read it.
    rmSync(data, { recursive: true });
  }
  for (const entry of readdirSync(home.folder)) {
    if (entry.startsWith('initdb-')) rmSync(join(home.folder, entry), { recursive: true, force: true });
  }
  const password = randomBytes(24).toString('base64url');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  await initdb(home, bin, data, password, durable);
  return { data, password };
}

async function initdb(home: Home, bin: string, data: string, password: string, durable: boolean): Promise<void> {
  // Under another name until it is complete, and a new one each time: an initdb whose owner was killed may still run.
  const partial = join(home.folder, `initdb-${randomBytes(4).toString('hex')}`);
  const passwordFile = `${partial}.password`;
  mkdirSync(partial, { mode: 0o700 });
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (home.account) {
    for (const path of [partial, passwordFile]) chownSync(path, home.account.uid, home.account.gid);
  }
  const options = [`--pgdata=${partial}`, '--username=minikms', `--pwfile=${passwordFile}`, '--auth=scram-sha-256'];
  options.push('--encoding=UTF8', '--locale=C', '--no-instructions', ...(durable ? [] : ['--no-sync']));
  const child = spawn(join(bin, 'initdb'), options, {
    ...home.account,
    cwd: partial,
    env: cleanEnvironment(),
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  const [complaints, [status]] = await Promise.all([text(child.stderr), once(child, 'close') as Promise<[number]>]);
  rmSync(passwordFile);
  if (status !== 0) throw new Error(`initdb failed: ${complaints.trim()}`);
  renameSync(partial, data);
}
