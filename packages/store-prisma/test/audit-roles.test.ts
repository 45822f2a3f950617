import { randomBytes } from 'node:crypto';
import { entryLogContract, treeStoreContract, type OpenedAuditStore } from '@minikms/audit-chain/testing';
import { testDatabase } from '@minikms/dev-postgres';
import { changeEntryContract, keyStoreContract, serverKeyStoreContract } from '@minikms/key-hierarchy/testing';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TABLES } from '../src/grants.ts';
import { migrate, openStore, pendingMigrations, type Store } from '../src/index.ts';
import { newEntries } from './audit-fixture.ts';
import { writtenEntries } from './entries.ts';
import { database, MIGRATIONS, type Database } from './fixture.ts';

/** A database that one role migrates and another serves; neither is a superuser. */
interface Divided {
  readonly owner: string;
  readonly serving: string;
  /** As the superuser of the test server. */
  readonly db: Database;
  as(url: string, sql: string): Promise<Record<string, unknown>[]>;
  open(url?: string): Promise<Store>;
  drop(): Promise<void>;
}

async function divided(): Promise<Divided> {
  const db = await database(true);
  const name = randomBytes(8).toString('hex');
  const password = randomBytes(12).toString('hex');
  const urlOf = (role: string): string => {
    const url = new URL(db.url);
    url.username = role;
    url.password = password;
    return url.href;
  };
  const roles = [`owner_${name}`, `Serving "role" ${name}`];
  for (const role of roles) await db.query(`CREATE ROLE "${role.replaceAll('"', '""')}" LOGIN PASSWORD '${password}'`);
  await db.query(`ALTER DATABASE ${new URL(db.url).pathname.slice(1)} OWNER TO ${roles[0]}`);
  const [owner, serving] = [urlOf(roles[0]!), urlOf(roles[1]!)];
  const stores: Store[] = [];
  return {
    owner,
    serving,
    db,
    as: async (url, sql) => {
      const client = new Client({ connectionString: url });
      await client.connect();
      try {
        return (await client.query<Record<string, unknown>>(sql)).rows;
      } finally {
        await client.end();
      }
    },
    open: async (url = serving) => {
      const store = await openStore({ url });
      stores.push(store);
      return store;
    },
    drop: async () => {
      await Promise.all(stores.map((store) => store.close()));
      await db.drop();
      const other = await testDatabase();
      const client = new Client({ connectionString: other.url });
      await client.connect();
      for (const role of roles) await client.query(`DROP ROLE "${role.replaceAll('"', '""')}"`);
      await client.end();
      await other.drop();
    },
  };
}

async function served(): Promise<Divided> {
  const both = await divided();
  await migrate(both.owner, { directory: MIGRATIONS, serving: both.serving });
  return both;
}

async function openAudit(): Promise<OpenedAuditStore> {
  const both = await served();
  const { audit } = await both.open();
  return {
    store: audit,
    hold: (tenantId) => both.db.hold(`SELECT FROM audit_heads WHERE tenant_id = '${tenantId}' FOR UPDATE`),
    close: () => both.drop(),
  };
}

entryLogContract('the serving role', openAudit);
treeStoreContract('the serving role', openAudit);

keyStoreContract('the serving role', async () => {
  const both = await served();
  const { keys, roots } = await both.open();
  return { keys, roots, close: () => both.drop() };
});

changeEntryContract('the serving role', async () => {
  const both = await served();
  const { keys } = await both.open();
  return { keys, entries: (log) => writtenEntries(both.db, log), close: () => both.drop() };
});

serverKeyStoreContract('the serving role', async () => {
  const both = await served();
  const { serverKeys, roots } = await both.open();
  return { serverKeys, roots, close: () => both.drop() };
});

describe('the serving role', () => {
  let both: Divided;
  let store: Store;
  beforeAll(async () => {
    both = await served();
    store = await both.open();
    await store.audit.appendInTurn(newEntries('acme', 2), []);
  });
  afterAll(() => both.drop());

  it.each([
    `UPDATE kms_audit_log SET details = ''`,
    'DELETE FROM kms_audit_log',
    'TRUNCATE kms_audit_log',
    'DROP TABLE kms_audit_log',
    'DROP TRIGGER append_only ON kms_audit_log',
    'ALTER TABLE kms_audit_log DISABLE TRIGGER ALL',
    'ALTER TABLE kms_audit_log ADD COLUMN more text',
    'ALTER TABLE kms_audit_log RENAME TO other',
    'CREATE RULE hide AS ON INSERT TO kms_audit_log DO INSTEAD NOTHING',
    'CREATE TRIGGER more BEFORE INSERT ON kms_audit_log EXECUTE FUNCTION minikms_append_only()',
    'ALTER TABLE kms_audit_log ENABLE ROW LEVEL SECURITY',
    'CREATE OR REPLACE FUNCTION minikms_lp(field bytea) RETURNS bytea LANGUAGE sql RETURN field',
    'DROP FUNCTION minikms_append_only() CASCADE',
    'CREATE TABLE more (n int)',
    'SET session_replication_role = replica',
    'DELETE FROM audit_heads',
    'DELETE FROM audit_checkpoints',
    'UPDATE audit_tree SET hash = hash',
    'DELETE FROM root_keys',
    'DELETE FROM _prisma_migrations',
  ])('may not %s', async (statement) => {
    await expect(both.as(both.serving, statement)).rejects.toMatchObject({ code: '42501' });
  });

  it('has privileges that are written down for every table', async () => {
    const tables = await both.db.query(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`);
    expect(tables.map((row) => String(row['tablename'])).toSorted()).toEqual(Object.keys(TABLES).toSorted());
  });

  it('does not own the log, as who migrates does, and a superuser could', async () => {
    expect(await store.ownsAuditLog()).toBe(false);
    expect(await (await both.open(both.owner)).ownsAuditLog()).toBe(true);
    expect(await (await both.db.store()).ownsAuditLog()).toBe(true);
  });

  it('sees what is pending', async () => {
    expect(await pendingMigrations(both.serving, { directory: MIGRATIONS })).toEqual([]);
    await expect(migrate(both.serving, { directory: new URL('.', import.meta.url) })).rejects.toMatchObject({
      code: 'STORE_SCHEMA_MISMATCH',
    });
  });

  it('can stamp, poll and prune', async () => {
    await store.installation.stamp('development');
    expect(await store.changes.since(0)).toEqual({ number: 0, changes: [] });
    expect(await store.changes.prune(0)).toBe(0);
  });
});

describe('migrate', () => {
  it('gives the role what it lacks and takes what it should not have, each time', async () => {
    const both = await divided();
    try {
      const role = decodeURIComponent(new URL(both.serving).username);
      await migrate(both.owner, { directory: MIGRATIONS });
      await expect(both.as(both.serving, 'SELECT FROM key_versions')).rejects.toMatchObject({ code: '42501' });
      await both.as(both.owner, `GRANT ALL ON kms_audit_log, audit_heads TO "${role.replaceAll('"', '""')}"`);
      for (let again = 0; again < 2; again++) {
        expect(await migrate(both.owner, { directory: MIGRATIONS, serving: role })).toEqual([]);
        const granted = await both.db.query(
          `SELECT table_name, string_agg(privilege_type, ',' ORDER BY privilege_type) AS privileges
           FROM information_schema.role_table_grants WHERE grantee = $1 GROUP BY 1`,
          [role],
        );
        const found = Object.fromEntries(granted.map((row) => [row['table_name'], row['privileges']]));
        const expected = Object.entries(TABLES).map(([table, privileges]) => [table, privileges.toSorted().join(',')]);
        expect(found).toEqual(Object.fromEntries(expected));
      }
    } finally {
      await both.drop();
    }
  });

  it('takes from the role, and from everybody, what could be put in place of its functions', async () => {
    const both = await divided();
    try {
      const role = `"${decodeURIComponent(new URL(both.serving).username).replaceAll('"', '""')}"`;
      const create = `CREATE FUNCTION minikms_lp(field text) RETURNS bytea LANGUAGE sql RETURN '\\x'::bytea`;
      for (const whom of [role, 'PUBLIC']) {
        await both.as(both.owner, `GRANT CREATE ON SCHEMA public TO ${whom}`);
        await both.as(both.serving, `BEGIN; ${create}; ROLLBACK`);
        await migrate(both.owner, { directory: MIGRATIONS, serving: both.serving });
        await expect(both.as(both.serving, create)).rejects.toMatchObject({ code: '42501' });
      }
    } finally {
      await both.drop();
    }
  });

  it('of tables in a schema of somebody else leaves that schema as it is', async () => {
    const both = await divided();
    try {
      const owner = `"${decodeURIComponent(new URL(both.owner).username)}"`;
      await both.db.query('CREATE SCHEMA lent');
      await both.db.query('GRANT USAGE ON SCHEMA lent TO PUBLIC');
      await both.db.query(`GRANT CREATE ON SCHEMA lent TO ${owner}`);
      const [owners, serving] = [both.owner, both.serving].map((url) => `${url}?schema=lent`) as [string, string];
      await migrate(owners, { directory: MIGRATIONS, serving });
      await migrate(owners, { directory: MIGRATIONS, serving });
      expect(await both.as(both.serving, 'SELECT FROM lent.key_versions')).toEqual([]);
    } finally {
      await both.drop();
    }
  });

  it('leaves the role that migrates as it is, and refuses one that does not exist', async () => {
    const both = await divided();
    try {
      await migrate(both.owner, { directory: MIGRATIONS, serving: both.owner });
      expect(await both.as(both.owner, 'SELECT FROM key_versions')).toEqual([]);
      const refused = migrate(both.owner, { directory: MIGRATIONS, serving: 'nobody at all' });
      await expect(refused).rejects.toMatchObject({ code: 'STORE_MIGRATION_FAILED' });
      const stranger = migrate(both.serving, { directory: MIGRATIONS, serving: both.owner });
      await expect(stranger).rejects.toBeDefined();
    } finally {
      await both.drop();
    }
  });
});
