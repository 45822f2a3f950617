import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import { target } from './connection.ts';
import { failure, StoreError } from './failure.ts';
import { grantServing, roleOf } from './grants.ts';
import { checksum, readMigrations, type MigrationFile } from './migration-files.ts';
import { plan } from './migration-plan.ts';

export interface MigrateOptions {
  /** A folder of `<name>/migration.sql`; the one that the package carries by default. */
  readonly directory?: URL | string;
  /** Told of each migration once it is committed. */
  readonly onApplied?: (name: string) => void;
  /**
   * The role that serves, by its name or the URL it connects with, when the one that migrates is another: it is given
   * exactly the privileges it needs, each time. It must exist.
   */
  readonly serving?: string;
}

const CARRIED = new URL('./migrations', import.meta.url);

/** The advisory lock that Prisma Migrate takes: the two exclude each other. */
const LOCK = 72707369;
/** How long to wait for another migration, and in a migration for the lock on a table, in seconds. */
const LOCK_SECONDS = 60;

// Character for character what Prisma Migrate makes, so that `prisma migrate deploy` agrees.
const BOOKKEEPING = `
  CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`;

/**
 * Applies the migrations that the database lacks, in name order, each in a transaction of its own: one that fails leaves
 * nothing behind. Returns the names of those applied now. Servers that start together wait for each other (60 s at
 * most) and apply each migration once. Needs a direct connection: the lock belongs to the session.
 *
 * Throws `STORE_MIGRATION_FAILED` (a migration fails, failed before or was changed since; tables of somebody else; the
 * serving role does not exist or cannot be given its privileges),
 * `STORE_SCHEMA_MISMATCH` (the database is newer than this build) and `STORE_UNAVAILABLE`.
 */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<readonly string[]> {
  const files = await readMigrations(options.directory ?? CARRIED);
  const serving = options.serving === undefined ? undefined : roleOf(options.serving);
  return connected(url, async (client) => {
    await lock(client);
    const lacking = await plan(client, files);
    if (lacking.length > 0) await client.query(BOOKKEEPING);
    for (const file of lacking) {
      await apply(client, file);
      options.onApplied?.(file.name);
    }
    // Under the same lock: two that write the privileges of one table at once would fail.
    if (serving !== undefined) await grantServing(client, target(url).schema, serving);
    return lacking.map((file) => file.name);
  });
}

/**
 * The names of the migrations that {@link migrate} would apply, in order; changes nothing and takes no lock. Empty when
 * the schema is the one of this build. Throws as `migrate` does.
 */
export async function pendingMigrations(
  url: string,
  options: Pick<MigrateOptions, 'directory'> = {},
): Promise<readonly string[]> {
  const files = await readMigrations(options.directory ?? CARRIED);
  return connected(url, async (client) => (await plan(client, files)).map((file) => file.name));
}

async function connected<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(target(url, false).config);
  // The query under way is told of the same error.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    throw failure(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function lock(client: Client): Promise<void> {
  await client.query(`SET lock_timeout = '${LOCK_SECONDS}s'`);
  try {
    // Of the session, so that it holds from one transaction to the next; it goes with the connection.
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
  } catch (error) {
    if ((error as { code?: unknown }).code !== '55P03') throw error;
    throw new StoreError('STORE_UNAVAILABLE', `another migration has been running for ${LOCK_SECONDS} seconds`, {
      cause: error,
    });
  }
}

async function apply(client: Client, file: MigrationFile): Promise<void> {
  try {
    await client.query('BEGIN');
    await client.query(file.sql);
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, now(), clock_timestamp(), 1)`,
      [randomUUID(), checksum(file.sql), file.name],
    );
    const { command } = await client.query('COMMIT');
    if (command !== 'COMMIT') throw new Error(`COMMIT was answered with ${command}`);
  } catch (error) {
    const told = failure(error);
    if (told !== error) throw told;
    await client.query('ROLLBACK');
    throw new StoreError('STORE_MIGRATION_FAILED', `the migration ${file.name} failed and was rolled back`, {
      cause: error,
    });
  }
}
