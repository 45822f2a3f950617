import type { Client } from 'pg';
import { StoreError } from './failure.ts';
import { matches, type MigrationFile } from './migration-files.ts';

/** A row of Prisma Migrate's bookkeeping; rows that were rolled back are history and left out. */
interface Recorded {
  readonly name: string;
  readonly checksum: string;
  readonly finished: boolean;
}

/**
 * The migrations of `files` that the database still lacks, in order. Reads only.
 *
 * Throws `STORE_MIGRATION_FAILED` when one is recorded as failed or was changed since it was applied, or when the
 * database holds tables that no migration made; `STORE_SCHEMA_MISMATCH` when migrations are recorded that `files` does
 * not have.
 */
export async function plan(client: Client, files: readonly MigrationFile[]): Promise<readonly MigrationFile[]> {
  const recorded = await readBookkeeping(client);
  if (recorded.length === 0) await refuseForeignTables(client);
  const applied = new Map(recorded.map((row) => [row.name, row]));
  const failed = recorded.find((row) => !row.finished);
  if (failed) {
    throw new StoreError(
      'STORE_MIGRATION_FAILED',
      `the migration ${failed.name} is recorded as failed: repair the database, then mark it with ` +
        '`prisma migrate resolve --rolled-back` or `--applied`',
    );
  }
  const unknown = recorded.filter((row) => !files.some((file) => file.name === row.name)).map((row) => row.name);
  if (unknown.length > 0) {
    throw new StoreError(
      'STORE_SCHEMA_MISMATCH',
      `the database is newer than this server: it has the migrations ${unknown.join(', ')}, which this build does not know`,
    );
  }
  for (const file of files) {
    const row = applied.get(file.name);
    if (row && !matches(file.sql, row.checksum)) {
      throw new StoreError('STORE_MIGRATION_FAILED', `the migration ${file.name} was changed after it was applied`);
    }
  }
  return files.filter((file) => !applied.has(file.name));
}

async function readBookkeeping(client: Client): Promise<readonly Recorded[]> {
  if (!(await exists(client, '_prisma_migrations'))) return [];
  const { rows } = await client.query<Recorded>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
     FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at, migration_name`,
  );
  return rows;
}

async function refuseForeignTables(client: Client): Promise<void> {
  // The Go service has a table of this name, in another shape.
  if (!(await exists(client, 'key_versions'))) return;
  throw new StoreError(
    'STORE_MIGRATION_FAILED',
    'the database holds tables miniKMS did not make (key_versions): use an empty database',
  );
}

async function exists(client: Client, table: string): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [table]);
  return rows[0]?.found === true;
}
