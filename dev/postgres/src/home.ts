import { createHash } from 'node:crypto';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { canEnter, unprivilegedAccount } from './unprivileged.ts';
import type { Account } from './unprivileged.ts';

/** Where one server lives: `folder` holds its lock and data, `account` is whom it runs as when we are root. */
export type Home = { readonly folder: string; readonly borrowed: boolean; readonly account: Account | undefined };

/**
 * The given directory itself, unless we are root and the unprivileged account cannot get there (a clone under /root):
 * then a folder of the system that it can reach, recorded in `location.json`.
 */
export function openHome(directory: string): Home {
  const account = unprivilegedAccount();
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (account) {
    // To pass through, not to look around; the data folder inside is the account's alone.
    chmodSync(directory, 0o711);
    if (!canEnter(account, directory)) return { folder: reachableFolder(directory, account), borrowed: true, account };
  }
  return { folder: realpathSync(directory), borrowed: false, account };
}

function reachableFolder(directory: string, account: Account): string {
  const record = join(directory, 'location.json');
  if (existsSync(record)) {
    const { folder } = JSON.parse(readFileSync(record, 'utf8')) as { folder: string };
    if (isOurs(folder)) return folder;
  }
  const name = `minikms-${createHash('sha256').update(realpathSync(directory)).digest('hex').slice(0, 16)}`;
  // /var/tmp only second: many systems clean it of what was not touched for a month.
  for (const parent of ['/var/lib', '/var/tmp']) {
    const folder = join(parent, name);
    try {
      mkdirSync(folder, { recursive: true, mode: 0o711 });
    } catch {
      continue;
    }
    if (!isOurs(folder)) continue;
    chmodSync(folder, 0o711);
    if (!canEnter(account, folder)) continue;
    writeFileSync(record, `${JSON.stringify({ folder })}\n`);
    return folder;
  }
  throw new Error(`PostgreSQL, run as uid ${account.uid}, can reach none of ${directory}, /var/lib and /var/tmp`);
}

/** In a world-writable parent somebody else may have made the folder first, its name being no secret. */
function isOurs(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  return found !== undefined && found.isDirectory() && found.uid === process.getuid?.();
}
