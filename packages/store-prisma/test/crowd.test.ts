import { randomUUID } from 'node:crypto';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NewKeyVersion, Succession } from '@minikms/key-hierarchy';
import { openStore, type Store } from '../src/index.ts';
import { database, newKey, parallel, type Database } from './fixture.ts';
import { distant } from './proxy.ts';

const LOAD = 500;

let db: Database;

beforeEach(async () => {
  db = await database();
});
afterEach(() => db.drop());

function first(index: number): NewKeyVersion {
  return newKey({ scopeId: `scope-${index}` });
}

function succession(store: Store, key: NewKeyVersion): Promise<Succession> {
  return store.keys.succeed(key.id, { ...key, id: randomUUID(), version: 2 });
}

describe('a crowd of callers', () => {
  it.each([
    ['rotations', succession],
    ['cold decrypts', (store: Store, key: NewKeyVersion) => store.keys.findVersion(key, key.id)],
  ])('of %s does not hold up the poll of changes and the ping', async (_, call) => {
    const keys = Array.from({ length: LOAD }, (__, index) => first(index));
    const direct = await db.store();
    await Promise.all(keys.map((key) => direct.keys.createFirst(key, 0)));
    const proxy = await distant(db.url, 3);
    const store = await openStore({ url: proxy.url });
    try {
      let settled = 0;
      const load = keys.map((key) => call(store, key).finally(() => settled++));
      // How much of the load was over when each answer came: the calls were made in the order of the answers.
      const answered: number[] = [];
      const polls = (async () => {
        while (settled < LOAD) {
          await Promise.all([store.changes.since(0), store.ping()]);
          answered.push(settled);
          await sleep(50);
        }
      })();
      await Promise.allSettled(load);
      await polls;
      // Behind the queue, the first would be the last to be answered.
      expect(answered[0]).toBeLessThan(LOAD / 2);
      expect(answered.filter((done) => done < LOAD).length).toBeGreaterThan(1);
    } finally {
      await store.close();
      await proxy.close();
    }
  });

  it('of rotations that wait for each other leaves connections to single statements', async () => {
    const store = await db.store({ maxConnections: 5 });
    const [calm, ...keys] = await parallel(21, async (index) => {
      const key = first(index);
      await store.keys.createFirst(key, 0);
      return key;
    });
    if (!calm) throw new Error('no key');
    const letGo = await db.hold('SELECT FROM change_counter FOR UPDATE');
    let rotated = 0;
    const rotations = Promise.allSettled(keys.map((key) => succession(store, key).finally(() => rotated++)));
    for (let round = 1; round <= 20; round++) expect(await store.keys.lease(calm, 1)).toMatchObject({ granted: 1 });
    await store.changes.since(0);
    await store.ping();
    expect(rotated).toBe(0);
    await letGo();
    await rotations;
    expect(await succession(store, calm)).toMatchObject({ replaced: true });
  });

  it('is refused at once from the 5,001st on that would have to wait', async () => {
    const store = await db.store({ maxConnections: 2 });
    const letGo = await db.hold('LOCK TABLE key_versions IN ACCESS EXCLUSIVE MODE');
    const held = store.keys.findCurrent(first(0));
    const refused: unknown[] = [];
    const waiting = parallel(5_007, () =>
      store.keys.findCurrent(first(0)).catch((error: unknown) => void refused.push(error)),
    );
    await setImmediate();
    expect(refused).toHaveLength(7);
    for (const error of refused) expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await letGo();
    await held;
    await waiting;
  });
});
