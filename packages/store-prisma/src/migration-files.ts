import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A migration that this build carries. */
export interface MigrationFile {
  /** The folder's name, which sorts by time: `20261123000000_key_versions`. */
  readonly name: string;
  readonly sql: string;
}

/** Every `<name>/migration.sql` of a folder, in name order as Prisma Migrate takes them. */
export async function readMigrations(directory: URL | string): Promise<readonly MigrationFile[]> {
  const folder = directory instanceof URL ? fileURLToPath(directory) : directory;
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return Promise.all(
    // Code units, not a locale: the order must be the same everywhere.
    names.toSorted().map(async (name) => ({ name, sql: await readFile(join(folder, name, 'migration.sql'), 'utf8') })),
  );
}

/** Prisma Migrate's checksum of a script: SHA-256 over its UTF-8 bytes, in lower-case hex (64 characters). */
export function checksum(sql: string): string {
  return createHash('sha256').update(sql, 'utf8').digest('hex');
}

/** True when `recorded` is the checksum of the script under either line ending, as Prisma Migrate compares them. */
export function matches(sql: string, recorded: string): boolean {
  const lf = sql.replaceAll('\r\n', '\n');
  return [sql, lf, lf.replaceAll('\n', '\r\n')].some((text) => checksum(text) === recorded);
}
