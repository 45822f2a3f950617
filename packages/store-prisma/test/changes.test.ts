import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Store } from '../src/index.ts';
import { database, newKey, parallel, type Database } from './fixture.ts';

let db: Database;
let store: Store;

beforeEach(async () => {
  db = await database();
  store = await db.store();
});
afterEach(() => db.drop());

async function succession(at: Store, scopeId: string): Promise<void> {
  const key = newKey({ scopeId });
  await at.keys.createFirst(key, 0);
  await at.keys.succeed(key.id, newKey({ scopeId, id: randomUUID(), version: 2 }));
}

it('is empty at first', async () => {
  expect(await store.changes.since(0)).toEqual({ number: 0, changes: [] });
});

it('numbers 50 parallel successions without holes, and a reader never sees a number before a lower one', async () => {
  const other = await db.store();
  let done = false;
  const reader = (async () => {
    let at = 0;
    const seen: string[] = [];
    while (!done || (await store.changes.since(at)).number > at) {
      const { number, changes } = await store.changes.since(at);
      if (changes === 'gap') throw new Error(`a gap after ${at}`);
      for (const change of changes) {
        expect(change.number).toBe(++at);
        seen.push(change.scopeId);
      }
      expect(at).toBe(number);
    }
    return seen;
  })();
  await parallel(50, (index) => succession(index % 2 === 0 ? store : other, `scope-${index}`));
  done = true;
  const seen = await reader;
  expect(seen.toSorted()).toEqual(Array.from({ length: 50 }, (_, index) => `scope-${index}`).toSorted());
});

it('tells what came after a number', async () => {
  await succession(store, 'one');
  await succession(store, 'two');
  const two = { number: 2, tenantId: 'acme', scopeId: 'two' };
  expect(await store.changes.since(1)).toEqual({ number: 2, changes: [two] });
  expect(await store.changes.since(2)).toEqual({ number: 2, changes: [] });
});

it('is a gap after prune, and for a number the database has not reached', async () => {
  await succession(store, 'old');
  await succession(store, 'new');
  await db.query(`UPDATE change_log SET created_at = now() - interval '1 hour' WHERE number = 1`);
  expect(await store.changes.prune(60_000)).toBe(1);
  expect(await store.changes.since(0)).toEqual({ number: 2, changes: 'gap' });
  expect(await store.changes.since(1)).toMatchObject({ number: 2, changes: [{ number: 2 }] });
  expect(await store.changes.prune(0)).toBe(1);
  expect(await store.changes.since(1)).toEqual({ number: 2, changes: 'gap' });
  expect(await store.changes.since(2)).toEqual({ number: 2, changes: [] });
  expect(await store.changes.since(3)).toEqual({ number: 2, changes: 'gap' });
});

it('prunes nothing that comes after a change that stays', async () => {
  await succession(store, 'young');
  await succession(store, 'old');
  await db.query(`UPDATE change_log SET created_at = now() - interval '1 hour' WHERE number = 2`);
  expect(await store.changes.prune(60_000)).toBe(0);
});

it('reads 10,000 changes and calls more a gap; prunes in steps', async () => {
  await db.query(
    `INSERT INTO change_log SELECT n, 'acme', 'scope', now() - interval '1 day' FROM generate_series(1, 20001) n`,
  );
  await db.query('UPDATE change_counter SET number = 20001');
  expect((await store.changes.since(10_001)).changes).toHaveLength(10_000);
  expect((await store.changes.since(10_000)).changes).toBe('gap');
  expect(await store.changes.prune(1_000)).toBe(20_001);
});
