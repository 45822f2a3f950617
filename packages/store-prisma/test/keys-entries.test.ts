import { randomUUID } from 'node:crypto';
import type { NewKeyVersion } from '@minikms/key-hierarchy';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store } from '../src/index.ts';
import { newEntry, writtenEntries } from './entries.ts';
import { database, newKey, parallel, type Database } from './fixture.ts';

const LOG = 'acme';

let db: Database;
let store: Store;

beforeEach(async () => {
  db = await database();
  store = await db.store();
});
afterEach(() => db.drop());

function successor(key: NewKeyVersion): NewKeyVersion {
  return newKey({ ...key, id: randomUUID(), version: key.version + 1 });
}

async function stored(): Promise<NewKeyVersion> {
  const key = newKey();
  await store.keys.createFirst(key, 0);
  return key;
}

/** Resolves when so many statements wait for a lock. */
async function waiting(count: number): Promise<void> {
  await expect
    .poll(() =>
      db.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`),
    )
    .toHaveLength(count);
}

describe('a log that somebody else is writing', () => {
  it.each([
    ['nobody has written before', ''],
    ['has entries', `SELECT minikms_audit_append('acme', '{1}', '{a}', '{b}', '{c}', ARRAY[''::bytea]);`],
  ])('and that %s makes a change wait, not fail', async (_, before) => {
    await db.query(before);
    const [key, other] = [newKey(), newKey({ scopeId: 'calm' })];
    const letGo = await db.hold(`SELECT minikms_audit_append('acme', '{2}', '{a}', '{b}', '{c}', ARRAY[''::bytea])`);
    const changes = [store.keys.createFirst(key, 1, newEntry(LOG))];
    await waiting(1);
    // Not seen before its entry is written, and nobody else is held up.
    expect(await store.keys.findCurrent(key)).toBeUndefined();
    await store.keys.createFirst(other, 1, newEntry('another'));
    await letGo('COMMIT');
    const seq = before === '' ? 2 : 3;
    expect(await Promise.all(changes)).toMatchObject([{ granted: 1, written: { tenantId: LOG, seq } }]);

    const again = await db.hold(`SELECT FROM audit_heads WHERE tenant_id = 'acme' FOR UPDATE`);
    const succession = store.keys.succeed(key.id, successor(key), newEntry(LOG));
    await waiting(1);
    expect(await store.keys.findCurrent(key)).toMatchObject({ version: 1 });
    await again();
    expect(await succession).toEqual({ replaced: true, written: { tenantId: LOG, seq: seq + 1 } });
    expect(await writtenEntries(db, LOG)).toHaveLength(seq + 1);
  });

  it('is not in the way of changes without an entry', async () => {
    const letGo = await db.hold('LOCK TABLE audit_heads, kms_audit_log IN ACCESS EXCLUSIVE MODE');
    const key = await stored();
    expect(await store.keys.succeed(key.id, successor(key))).toEqual({ replaced: true, written: undefined });
    expect(await store.keys.createFirst(newKey(), 1, newEntry(LOG))).toBeUndefined();
    await letGo();
  });
});

describe('a change that comes too late', () => {
  it('leaves no entry when a successor came while it waited', async () => {
    const key = await stored();
    const letGo = await db.hold(`UPDATE key_versions SET status = 'retired' WHERE id = '${key.id}'`);
    const late = parallel(3, () => store.keys.succeed(key.id, successor(key), newEntry(LOG)));
    await waiting(3);
    await letGo('COMMIT');
    for (const succession of await late) expect(succession).toEqual({ replaced: false, written: undefined });
    expect(await writtenEntries(db, LOG)).toEqual([]);
    expect((await store.changes.since(0)).number).toBe(0);
  });

  it('leaves no entry when a first version came while it waited', async () => {
    const key = newKey();
    const letGo = await db.hold(
      `INSERT INTO key_versions (tenant_id, scope_id, version, id, wrapped_dek, root_key_id, salt_id, max_encryptions)
       VALUES ('${key.tenantId}', '${key.scopeId}', 1, '${randomUUID()}',
               decode(repeat('00', 60), 'hex'), decode(repeat('00', 16), 'hex'), decode(repeat('00', 16), 'hex'), 9)`,
    );
    const late = store.keys.createFirst(key, 1, newEntry(LOG));
    await waiting(1);
    await letGo('COMMIT');
    expect(await late).toBeUndefined();
    expect(await writtenEntries(db, LOG)).toEqual([]);
  });
});

describe('an entry that the database refuses', () => {
  it('takes the change back, all of it', async () => {
    const key = await stored();
    await db.query(`ALTER TABLE kms_audit_log ADD CHECK (details <> 'refused')`);
    const refused = { ...newEntry(LOG), details: 'refused' };
    const other = newKey({ scopeId: 'other' });
    await expect(store.keys.createFirst(other, 1, refused)).rejects.toMatchObject({ code: '23514' });
    await expect(store.keys.succeed(key.id, successor(key), refused)).rejects.toMatchObject({ code: '23514' });
    expect(await store.keys.findVersion(other, other.id)).toBe('none');
    expect(await store.keys.findCurrent(key)).toMatchObject({ id: key.id, status: 'active' });
    expect((await store.changes.since(0)).number).toBe(0);
    expect(await store.keys.succeed(key.id, successor(key), newEntry(LOG))).toMatchObject({ written: { seq: 1 } });
    expect(await writtenEntries(db, LOG)).toHaveLength(1);
  });
});

describe('a transaction that is tried again', () => {
  it('writes its entry once', async () => {
    // A sequence counts what is rolled back, too: every other attempt fails at the last moment.
    await db.query('CREATE SEQUENCE tries');
    await db.query(`
      CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('tries') % 2 = 1 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END IF;
        RETURN NULL;
      END $$`);
    await db.query('CREATE TRIGGER collide AFTER INSERT ON kms_audit_log FOR EACH ROW EXECUTE FUNCTION collide()');
    const key = newKey();
    const entries = [newEntry(LOG), newEntry(LOG)];
    expect(await store.keys.createFirst(key, 5, entries[0])).toMatchObject({ granted: 5, written: { seq: 1 } });
    expect(await store.keys.succeed(key.id, successor(key), entries[1])).toMatchObject({ written: { seq: 2 } });
    expect(await db.query('SELECT last_value FROM tries')).toEqual([{ last_value: '4' }]);
    expect(await writtenEntries(db, LOG)).toEqual(entries.map((entry, at) => ({ ...entry, seq: at + 1 })));
    expect((await store.changes.since(0)).number).toBe(1);
  });
});

it('changes and other writers of one log end in no deadlock', async () => {
  const scopes = Array.from({ length: 6 }, (_, at) => newKey({ tenantId: `tenant-${at % 3}`, scopeId: `scope-${at}` }));
  const append = `SELECT (minikms_audit_append($1, '{1}', '{a}', '{b}', '{c}', ARRAY[''::bytea])).first`;
  await parallel(18, async (index) => {
    const key = scopes[index % 6];
    if (key === undefined || index >= 6) {
      for (const tenant of ['_system', 'tenant-0', 'tenant-1', 'tenant-2']) await db.query(append, [tenant]);
      return;
    }
    let current = key;
    await store.keys.createFirst(key, 0, newEntry(key.tenantId));
    for (let round = 0; round < 5; round++) {
      const next = successor(current);
      const log = round % 2 === 0 ? '_system' : key.tenantId;
      expect(await store.keys.succeed(current.id, next, newEntry(log))).toMatchObject({ replaced: true });
      current = next;
    }
  });
  expect(await writtenEntries(db, '_system')).toHaveLength(12 + 6 * 3);
  for (const tenant of ['tenant-0', 'tenant-1', 'tenant-2']) {
    expect(await writtenEntries(db, tenant)).toHaveLength(12 + 2 * 3);
  }
  const [deadlocks] = await db.query('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()');
  expect(deadlocks).toEqual({ deadlocks: '0' });
});
