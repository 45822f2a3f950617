import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, linkSync, openSync, unlinkSync, writeSync } from 'node:fs';

/**
 * Makes the development root key unless there is one: 32 random bytes in hexadecimal, for this user's eyes only.
 * It appears complete or not at all, and never in place of another: the database is worthless without its key.
 */
export function ensureRootKey(file: string): void {
  if (existsSync(file)) return;
  const draft = `${file}.${randomBytes(4).toString('hex')}`;
  const descriptor = openSync(draft, 'wx', 0o600);
  try {
    writeSync(descriptor, `${randomBytes(32).toString('hex')}\n`);
    fsyncSync(descriptor);
    // A link, unlike a rename, fails if another start was quicker.
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    closeSync(descriptor);
    unlinkSync(draft);
  }
}
