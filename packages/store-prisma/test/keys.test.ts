import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Store } from '../src/index.ts';
import { database, newKey, parallel, type Database } from './fixture.ts';

let db: Database;
let store: Store;
let other: Store;
let scopes = 0;

beforeAll(async () => {
  db = await database();
  store = await db.store();
  other = await db.store();
});
afterAll(() => db.drop());

function scope(): { tenantId: string; scopeId: string } {
  return { tenantId: 'acme', scopeId: `scope-${++scopes}` };
}

function either(index: number): Store {
  return index % 2 === 0 ? store : other;
}

async function rowVersion(id: string): Promise<unknown> {
  return (await db.query('SELECT xmin::text, ctid::text FROM key_versions WHERE id = $1', [id]))[0];
}

describe('createFirst', () => {
  it('has one winner of 50', async () => {
    const at = scope();
    const made = await parallel(50, (index) => either(index).keys.createFirst(newKey(at), 10));
    const winners = made.filter((lease) => lease !== undefined);
    expect(winners).toHaveLength(1);
    expect(await store.keys.findCurrent(at)).toEqual(winners[0]?.row);
  });

  it('gives every field back as it was', async () => {
    const key = newKey({ ...scope(), maxEncryptions: 2 ** 32, tenantKeyGeneration: 3 });
    const before = Date.now();
    const lease = await store.keys.createFirst(key, 2 ** 20);
    expect(lease).toStrictEqual({
      row: { ...key, status: 'active', leasedUses: 2 ** 20, recordedUses: 0, createdAt: expect.any(Date) },
      granted: 2 ** 20,
      written: undefined,
    });
    expect(Math.abs((lease?.row.createdAt.getTime() ?? 0) - before)).toBeLessThan(60_000);
    expect(await store.keys.findVersion(key, key.id)).toStrictEqual(lease?.row);
  });

  it('grants no more than the budget, and is refused after the scope has retired versions only', async () => {
    const key = newKey({ ...scope(), maxEncryptions: 5 });
    expect(await store.keys.createFirst(key, 9)).toMatchObject({ granted: 5, row: { status: 'rotate_pending' } });
    await db.query(`UPDATE key_versions SET status = 'retired' WHERE id = $1`, [key.id]);
    expect(await store.keys.createFirst(newKey(key), 1)).toBeUndefined();
    expect(await store.keys.createFirst({ ...newKey(key), id: randomUUID() }, 1)).toBeUndefined();
    expect(await store.keys.lease(key, 1)).toBeUndefined();
  });

  it('refuses any version but 1', async () => {
    await expect(store.keys.createFirst(newKey({ ...scope(), version: 2 }), 1)).rejects.toThrow('is 1, not 2');
  });
});

describe('lease', () => {
  it('never hands out more than the budget to 20 at once', async () => {
    const key = newKey({ ...scope(), maxEncryptions: 105 });
    await store.keys.createFirst(key, 0);
    const leases = await parallel(20, (index) => either(index).keys.lease(key, 10));
    const granted = leases.map((lease) => lease?.granted ?? -1).toSorted((a, b) => b - a);
    expect(granted).toEqual([...Array.from({ length: 10 }, () => 10), 5, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(await store.keys.findCurrent(key)).toMatchObject({ leasedUses: 105, status: 'rotate_pending' });
  });

  it.each([
    [10, 8, 1],
    [11, 9, 1],
    [1, 0, 1],
    [2 ** 32, 3_865_470_566, 1],
  ])('of a budget of %i turns rotate_pending at ceil(0.9 of it), not at %i', async (max, below, more) => {
    const key = newKey({ ...scope(), maxEncryptions: max });
    expect((await store.keys.createFirst(key, below))?.row.status).toBe('active');
    expect((await store.keys.lease(key, more))?.row.status).toBe('rotate_pending');
    expect((await store.keys.lease(key, 0))?.row.status).toBe('rotate_pending');
  });

  it('keeps a version rotate_pending that was made so early', async () => {
    const key = newKey(scope());
    await store.keys.createFirst(key, 0);
    await db.query(`UPDATE key_versions SET status = 'rotate_pending' WHERE id = $1`, [key.id]);
    expect(await store.keys.lease(key, 1)).toMatchObject({ granted: 1, row: { status: 'rotate_pending' } });
  });

  it('of nothing writes nothing', async () => {
    const key = newKey(scope());
    await store.keys.createFirst(key, 0);
    const before = await rowVersion(key.id);
    expect(await store.keys.lease(key, 0)).toMatchObject({ granted: 0, row: { id: key.id } });
    expect(await rowVersion(key.id)).toEqual(before);
    await store.keys.lease(key, 1);
    expect(await rowVersion(key.id)).not.toEqual(before);
  });

  it('of a scope without versions is undefined', async () => {
    expect(await store.keys.lease(scope(), 1)).toBeUndefined();
    expect(await store.keys.lease(scope(), 0)).toBeUndefined();
  });

  it('finds the successor that came while it waited for the row', async () => {
    for (let round = 0; round < 10; round++) {
      const key = newKey(scope());
      await store.keys.createFirst(key, 0);
      const successor = newKey({ ...key, id: randomUUID(), version: 2 });
      const [, ...leases] = await Promise.all([
        store.keys.succeed(key.id, successor),
        ...Array.from({ length: 8 }, () => other.keys.lease(key, 1)),
      ]);
      for (const lease of leases) expect([key.id, successor.id]).toContain(lease?.row.id);
    }
  });
});

describe('succeed', () => {
  it('has one winner of 20', async () => {
    const key = newKey(scope());
    await store.keys.createFirst(key, 0);
    const done = await parallel(20, (index) =>
      either(index).keys.succeed(key.id, newKey({ ...key, id: randomUUID(), version: 2 })),
    );
    expect(done.filter(({ replaced }) => replaced)).toHaveLength(1);
    expect(await store.keys.findCurrent(key)).toMatchObject({ version: 2, status: 'active', leasedUses: 0 });
    expect(await store.keys.findVersion(key, key.id)).toMatchObject({ version: 1, status: 'retired' });
  });

  it('changes nothing when the version does not follow', async () => {
    const key = newKey(scope());
    await store.keys.createFirst(key, 0);
    const { number } = await store.changes.since(0);
    const skipping = newKey({ ...key, id: randomUUID(), version: 3 });
    await expect(store.keys.succeed(key.id, skipping)).rejects.toThrow('the successor of version 1 is not version 3');
    expect(await store.keys.findCurrent(key)).toMatchObject({ id: key.id, status: 'active' });
    expect((await store.changes.since(0)).number).toBe(number);
  });

  it('changes nothing when the change cannot be logged', async () => {
    const key = newKey(scope());
    await store.keys.createFirst(key, 0);
    const successor = newKey({ ...key, id: randomUUID(), version: 2 });
    const [counter] = await db.query('DELETE FROM change_counter RETURNING number');
    await expect(store.keys.succeed(key.id, successor)).rejects.toThrow('null value in column "number"');
    expect(await store.keys.findCurrent(key)).toMatchObject({ id: key.id, status: 'active' });
    await db.query('INSERT INTO change_counter (number) VALUES ($1)', [counter?.['number']]);
    expect(await store.keys.succeed(key.id, successor)).toEqual({ replaced: true, written: undefined });
  });

  it('is false, and logs nothing, when a successor came while it waited for the row', async () => {
    const key = newKey(scope());
    await store.keys.createFirst(key, 0);
    const { number } = await store.changes.since(0);
    const letGo = await db.hold(`UPDATE key_versions SET status = 'retired' WHERE id = '${key.id}'`);
    const late = store.keys.succeed(key.id, newKey({ ...key, id: randomUUID(), version: 2 }));
    await expect
      .poll(() =>
        db.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`),
      )
      .toHaveLength(1);
    await letGo('COMMIT');
    expect(await late).toEqual({ replaced: false, written: undefined });
    expect(await store.keys.findCurrent(key)).toBeUndefined();
    expect((await store.changes.since(0)).number).toBe(number);
  });

  it('is false for a version of another tenant', async () => {
    const key = newKey(scope());
    await store.keys.createFirst(key, 0);
    const theirs = newKey({ tenantId: 'evil', scopeId: key.scopeId, version: 2 });
    expect(await store.keys.succeed(key.id, theirs)).toMatchObject({ replaced: false });
    expect(await store.keys.findVersion(theirs, theirs.id)).toBe('none');
  });
});

describe('findVersion', () => {
  it('never returns a row of another tenant or scope', async () => {
    const key = newKey(scope());
    await store.keys.createFirst(key, 0);
    expect(await store.keys.findVersion({ ...key, tenantId: 'evil' }, key.id)).toBe('none');
    expect(await store.keys.findVersion({ ...key, scopeId: 'elsewhere' }, key.id)).toBe('none');
    const theirs = newKey({ tenantId: 'evil', scopeId: key.scopeId });
    await store.keys.createFirst(theirs, 0);
    expect(await store.keys.findVersion(theirs, key.id)).toBe('other');
    expect(await store.keys.findVersion(key, theirs.id)).toBe('other');
    expect(await store.keys.findVersion(key, key.id)).toMatchObject({ id: key.id });
  });
});

describe('recordUses', () => {
  it('adds up what two stores record in opposite orders, without a deadlock', async () => {
    const keys = await parallel(200, async () => {
      const key = newKey(scope());
      await store.keys.createFirst(key, 0);
      return key;
    });
    const uses = keys.map((key) => ({ ...key, uses: 3 }));
    await parallel(20, (index) => either(index).keys.recordUses(index % 2 === 0 ? uses : uses.toReversed()));
    for (const key of keys) expect(await store.keys.findVersion(key, key.id)).toMatchObject({ recordedUses: 60 });
    const [deadlocks] = await db.query('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()');
    expect(deadlocks).toEqual({ deadlocks: '0' });
  });

  it('takes more than 1,000, the same one twice, none, and ids that do not exist', async () => {
    const key = newKey(scope());
    await store.keys.createFirst(key, 0);
    await store.keys.recordUses([]);
    const unknown = Array.from({ length: 1_500 }, () => ({ ...key, id: randomUUID(), uses: 1 }));
    await store.keys.recordUses([{ ...key, uses: 1 }, ...unknown, { ...key, uses: 2 ** 31 }, { ...key, uses: 5 }]);
    await store.keys.recordUses([{ ...key, tenantId: 'evil', uses: 7 }]);
    expect(await store.keys.findVersion(key, key.id)).toMatchObject({ recordedUses: 2 ** 31 + 6, leasedUses: 0 });
  });
});
