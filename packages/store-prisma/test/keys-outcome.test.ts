import { randomUUID } from 'node:crypto';
import type { ChangeEntry, NewKeyVersion } from '@minikms/key-hierarchy';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore, type Store } from '../src/index.ts';
import { type Cutter, cutter } from './cutter.ts';
import { newEntry, writtenEntries } from './entries.ts';
import { database, newKey, type Database } from './fixture.ts';

const LOG = 'acme';

let db: Database;
let way: Cutter;
/** Reaches the database over `way`. */
let store: Store;
let direct: Store;
let key: NewKeyVersion;
let entry: ChangeEntry;

beforeEach(async () => {
  db = await database();
  way = await cutter(db.url);
  store = await openStore({ url: way.url, maxConnections: 4 });
  direct = await db.store();
  key = newKey();
  entry = newEntry(LOG);
  await store.keys.createFirst(key, 0);
});
afterEach(async () => {
  way.up();
  await store.close();
  await way.close();
  await db.drop();
});

function successor(to: NewKeyVersion = key): NewKeyVersion {
  return newKey({ ...to, id: randomUUID(), version: to.version + 1 });
}

async function waiting(count: number): Promise<void> {
  await expect
    .poll(() =>
      db.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`),
    )
    .toHaveLength(count);
}

describe('a succession whose connection is lost', () => {
  it.each(['question', 'answer'] as const)('with the %s is made once, and told where its entry is', async (what) => {
    const next = successor();
    way.cut(what);
    const done = await store.keys.succeed(key.id, next, entry);
    expect(way.isCut).toBe(true);
    expect(done).toEqual({ replaced: true, written: { tenantId: LOG, seq: 1 } });
    expect(await direct.keys.findCurrent(key)).toMatchObject({ id: next.id });
    expect(await writtenEntries(db, LOG)).toEqual([{ ...entry, seq: 1 }]);
    expect((await direct.changes.since(0)).number).toBe(1);
  });

  it.each(['question', 'answer'] as const)('with the %s is told without an entry, too', async (what) => {
    way.cut(what);
    expect(await store.keys.succeed(key.id, successor())).toEqual({ replaced: true, written: undefined });
    expect((await direct.changes.since(0)).number).toBe(1);
  });

  it('while the database waits is made once, whichever statement comes first', async () => {
    const next = successor();
    const letGo = await db.hold('SELECT FROM key_versions FOR UPDATE');
    const succession = store.keys.succeed(key.id, next, entry);
    await waiting(1);
    way.down();
    way.up();
    // The statement that was lost still waits, and now the one that asks for the same.
    await waiting(2);
    await letGo();
    expect(await succession).toEqual({ replaced: true, written: { tenantId: LOG, seq: 1 } });
    expect(await direct.keys.findCurrent(key)).toMatchObject({ id: next.id });
    expect(await writtenEntries(db, LOG)).toHaveLength(1);
    expect((await direct.changes.since(0)).number).toBe(1);
  });

  it('is not made when another came first', async () => {
    const [next, other] = [successor(), successor()];
    way.cut('question');
    const succession = store.keys.succeed(key.id, next, entry);
    await expect.poll(() => way.isCut).toBe(true);
    way.down();
    await direct.keys.succeed(key.id, other);
    way.up();
    expect(await succession).toEqual({ replaced: false, written: undefined });
    expect(await direct.keys.findCurrent(key)).toMatchObject({ id: other.id });
    expect(await writtenEntries(db, LOG)).toEqual([]);
  });

  it('is known to have been made after others have followed it', async () => {
    const next = successor();
    way.cut('answer');
    const succession = store.keys.succeed(key.id, next, entry);
    await expect.poll(() => way.isCut).toBe(true);
    way.down();
    await direct.keys.succeed(next.id, successor(next), newEntry(LOG));
    way.up();
    expect(await succession).toEqual({ replaced: true, written: { tenantId: LOG, seq: 1 } });
    expect(await writtenEntries(db, LOG)).toHaveLength(2);
  });

  it('does not tell where its entry is when 10,000 have followed it', async () => {
    way.cut('answer');
    const succession = store.keys.succeed(key.id, successor(), entry);
    await expect.poll(() => way.isCut).toBe(true);
    way.down();
    await db.query(`
      SELECT minikms_audit_append('acme', array_agg(n::bigint), array_agg('a'::text), array_agg('b'::text), array_agg('c'::text),
                                  array_agg(''::bytea))
      FROM generate_series(1, 10000) n`);
    way.up();
    expect(await succession).toEqual({ replaced: true, written: undefined });
  });

  it('is STORE_UNAVAILABLE while the database stays out of reach', async () => {
    way.cut('answer');
    const succession = store.keys.succeed(key.id, successor(), entry);
    await expect.poll(() => way.isCut).toBe(true);
    way.down();
    await expect(succession).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(await writtenEntries(db, LOG)).toHaveLength(1);
  });
});

describe('a first version whose connection is lost', () => {
  it.each(['question', 'answer'] as const)('with the %s is made once, and told where its entry is', async (what) => {
    const first = newKey({ scopeId: 'other', maxEncryptions: 50 });
    way.cut(what);
    const created = await store.keys.createFirst(first, 60, entry);
    expect(way.isCut).toBe(true);
    const row = { id: first.id, leasedUses: 50, status: 'rotate_pending' };
    expect(created).toMatchObject({ granted: 50, row, written: { tenantId: LOG, seq: 1 } });
    expect(await writtenEntries(db, LOG)).toEqual([{ ...entry, seq: 1 }]);
  });

  it('is not made when another came first', async () => {
    const [first, other] = [newKey({ scopeId: 'other' }), newKey({ scopeId: 'other' })];
    way.cut('question');
    const created = store.keys.createFirst(first, 1, entry);
    await expect.poll(() => way.isCut).toBe(true);
    way.down();
    await direct.keys.createFirst(other, 1);
    way.up();
    expect(await created).toBeUndefined();
    expect(await direct.keys.findCurrent(other)).toMatchObject({ id: other.id });
    expect(await writtenEntries(db, LOG)).toEqual([]);
  });
});

describe('a change that is known not to have been made', () => {
  it('is refused at once: nothing is asked twice', async () => {
    const letGo = await db.hold('LOCK TABLE key_versions IN ACCESS EXCLUSIVE MODE');
    const refused = expect(store.keys.succeed(key.id, successor(), entry)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    await waiting(1);
    await db.query(
      `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    // Asked again, it would be made now.
    await letGo();
    await refused;
    expect(await direct.keys.findCurrent(key)).toMatchObject({ id: key.id });
  });
});
