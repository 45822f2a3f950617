import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrate, openStore, pendingMigrations } from '../src/index.ts';
import { database, MIGRATIONS, parallel, type Database } from './fixture.ts';

let db: Database;
let directory: string;

beforeEach(async () => {
  db = await database(true);
  directory = mkdtempSync(join(tmpdir(), 'minikms-migrations-'));
});
afterEach(async () => {
  rmSync(directory, { recursive: true });
  await db.drop();
});

function write(name: string, sql: string): void {
  mkdirSync(join(directory, name), { recursive: true });
  writeFileSync(join(directory, name, 'migration.sql'), sql);
}

async function tables(): Promise<unknown[]> {
  const rows = await db.query(`SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'public' ORDER BY 1`);
  return rows.map((row) => row['relname']);
}

describe('migrate', () => {
  it('applies what is there, once, in the bookkeeping of Prisma Migrate', async () => {
    const applied: string[] = [];
    expect(await pendingMigrations(db.url, { directory: MIGRATIONS })).toContain('20261123000000_key_versions');
    const now = await migrate(db.url, { directory: MIGRATIONS, onApplied: (name) => applied.push(name) });
    expect(now).toEqual(applied);
    expect(await migrate(db.url, { directory: MIGRATIONS })).toEqual([]);
    expect(await pendingMigrations(db.url, { directory: MIGRATIONS })).toEqual([]);
    const rows = await db.query('SELECT * FROM _prisma_migrations ORDER BY migration_name');
    const sql = await readFile(
      new URL('./migrations/20261123000000_key_versions/migration.sql', new URL('.', MIGRATIONS)),
    );
    expect(rows[0]).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      checksum: createHash('sha256').update(sql).digest('hex'),
      finished_at: expect.any(Date),
      migration_name: '20261123000000_key_versions',
      logs: null,
      rolled_back_at: null,
      started_at: expect.any(Date),
      applied_steps_count: 1,
    });
  });

  it('applies once when replicas start together', async () => {
    const applied = await parallel(4, () => migrate(db.url, { directory: MIGRATIONS }));
    expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
  });

  it('goes in name order and goes on where it stopped', async () => {
    write('2_b', 'INSERT INTO a VALUES (2)');
    write('1_a', 'CREATE TABLE a (n int); INSERT INTO a VALUES (1)');
    writeFileSync(join(directory, 'migration_lock.toml'), 'provider = "postgresql"');
    expect(await migrate(db.url, { directory })).toEqual(['1_a', '2_b']);
    write('3_c', 'INSERT INTO a VALUES (3)');
    expect(await pendingMigrations(db.url, { directory })).toEqual(['3_c']);
    expect(await migrate(db.url, { directory })).toEqual(['3_c']);
    expect(await db.query('SELECT n FROM a ORDER BY n')).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it('leaves nothing of a migration that breaks, and keeps those before it', async () => {
    write('1_a', 'CREATE TABLE a (n int)');
    write('2_b', 'CREATE TABLE b (n int); INSERT INTO b VALUES (1); SELECT 1/0');
    await expect(migrate(db.url, { directory })).rejects.toMatchObject({
      code: 'STORE_MIGRATION_FAILED',
      message: 'the migration 2_b failed and was rolled back',
      cause: { code: '22012' },
    });
    expect(await tables()).toEqual(['_prisma_migrations', 'a']);
    write('2_b', 'CREATE TABLE b (n int)');
    expect(await migrate(db.url, { directory })).toEqual(['2_b']);
  });

  it('refuses a migration that was changed after it was applied, other than in its line endings', async () => {
    write('1_a', 'CREATE TABLE a (n int);\n-- end\n');
    await migrate(db.url, { directory });
    write('1_a', 'CREATE TABLE a (n int);\r\n-- end\r\n');
    expect(await migrate(db.url, { directory })).toEqual([]);
    write('1_a', 'CREATE TABLE a (n bigint);\n-- end\n');
    const refusal = { code: 'STORE_MIGRATION_FAILED', message: 'the migration 1_a was changed after it was applied' };
    await expect(migrate(db.url, { directory })).rejects.toMatchObject(refusal);
    await expect(pendingMigrations(db.url, { directory })).rejects.toMatchObject(refusal);
  });

  it('refuses a database that is newer than this build', async () => {
    write('1_a', 'CREATE TABLE a (n int)');
    write('2_b', 'CREATE TABLE b (n int)');
    await migrate(db.url, { directory });
    rmSync(join(directory, '2_b'), { recursive: true });
    const refused = migrate(db.url, { directory });
    await expect(refused).rejects.toMatchObject({ code: 'STORE_SCHEMA_MISMATCH' });
    await expect(refused).rejects.toThrow('the database is newer than this server');
  });

  it('refuses one recorded as failed, until it is resolved', async () => {
    write('1_a', 'CREATE TABLE a (n int)');
    await migrate(db.url, { directory });
    await db.query('UPDATE _prisma_migrations SET finished_at = NULL');
    await expect(migrate(db.url, { directory })).rejects.toMatchObject({ code: 'STORE_MIGRATION_FAILED' });
    await db.query('UPDATE _prisma_migrations SET rolled_back_at = now()');
    await db.query('DROP TABLE a');
    expect(await migrate(db.url, { directory })).toEqual(['1_a']);
    expect(await migrate(db.url, { directory })).toEqual([]);
  });

  it('refuses a database with tables of the same name that it did not make', async () => {
    await db.query('CREATE TABLE key_versions (id text)');
    const refused = migrate(db.url, { directory: MIGRATIONS });
    await expect(refused).rejects.toMatchObject({ code: 'STORE_MIGRATION_FAILED' });
    await expect(refused).rejects.toThrow('tables miniKMS did not make');
    expect(await tables()).toEqual(['key_versions']);
  });

  it('is STORE_UNAVAILABLE where nothing listens', async () => {
    const refused = migrate('postgresql://nobody@127.0.0.1:1/nothing', { directory: MIGRATIONS });
    await expect(refused).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });

  it('works in a schema that the URL names', async () => {
    await db.query('CREATE SCHEMA kms');
    const url = `${db.url}${db.url.includes('?') ? '&' : '?'}schema=kms`;
    await migrate(url, { directory: MIGRATIONS });
    expect(await tables()).toEqual([]);
    const store = await openStore({ url });
    try {
      await store.installation.stamp('development');
      expect(await store.changes.since(0)).toEqual({ number: 0, changes: [] });
    } finally {
      await store.close();
    }
    expect(await db.query('SELECT mode FROM kms.installation')).toEqual([{ mode: 'development' }]);
  });
});
