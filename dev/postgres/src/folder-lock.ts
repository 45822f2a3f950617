import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** A folder that belongs to this process until it releases it, or dies in whatever way. */
export type FolderLock = { release(): void };

const SQLITE_BUSY = 5;

/**
 * Takes the folder or fails at once, naming the holder. SQLite's lock is one of the kernel's: it ends with the holder
 * even at kill -9, so there is no stale lock to judge, and a pid given to another program cannot deceive us.
 */
export function lockFolder(folder: string): FolderLock {
  const ownerFile = join(folder, 'owner.pid');
  const lock = new DatabaseSync(join(folder, 'lock'), { timeout: 0 });
  try {
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
    throw new Error(`another miniKMS development server is using this folder${ownerOf(ownerFile)}: ${folder}`, {
      cause: error,
    });
  }
  // For the message above only: the lock itself cannot be read while it is held.
  writeFileSync(ownerFile, `${process.pid}\n`);
  return { release: () => lock.close() };
}

function ownerOf(file: string): string {
  try {
    return ` (pid ${readFileSync(file, 'utf8').trim()})`;
  } catch {
    return '';
  }
}
