import { describe, expect, test } from 'vitest';
import { UseCounter } from '../src/budget.ts';
import type { VersionUses } from '../src/index.ts';
import { rejection } from './cases.ts';
import { holding, parallel, scope, scopeNumber, seal, sealMany, server, tally, TestStore, turn } from './fixture.ts';

const encryptions = async ({ keyring }: Pick<ReturnType<typeof server>, 'keyring'>): Promise<number> =>
  (await keyring.info(scope)).encryptions;

describe('info', () => {
  test('counts every encryption that this server made, recorded or not', async () => {
    const one = server(new TestStore());
    for (let i = 1; i <= 5; i++) {
      await seal(one.keyring);
      expect(await encryptions(one)).toBe(i);
    }
    await sealMany(one.keyring, 20);
    expect(await encryptions(one)).toBe(25);
    expect(await one.keyring.info(scope)).toMatchObject({ version: 1, status: 'active', maxEncryptions: 1_000_000 });
  });

  test('is exact while others encrypt and record', async () => {
    const store = new TestStore();
    const one = server(store);
    await seal(one.keyring);
    let made = 1;
    await parallel(30, async (i) => {
      for (let n = 0; n < 20; n++) {
        await sealMany(one.keyring, 1 + (i % 3));
        made += 1 + (i % 3);
        if (n % 4 === 0) await one.keyring.recordUses();
        if (n % 5 === 0) {
          const before = made;
          const counted = await encryptions(one);
          expect(counted).toBeGreaterThanOrEqual(before);
          expect(counted).toBeLessThanOrEqual(made);
        }
      }
    });
    expect(await encryptions(one)).toBe(made);
  });

  test('sees what another server made as soon as that has recorded it', async () => {
    const store = new TestStore();
    const [a, b] = [server(store), server(store)];
    await sealMany(a.keyring, 10);
    await sealMany(b.keyring, 7);
    expect(await encryptions(a)).toBe(10);
    await b.keyring.recordUses();
    expect(await encryptions(a)).toBe(17);
  });

  test('does not count twice what is being recorded right now', async () => {
    const store = new TestStore();
    const held = holding(store, 'recordUses');
    const one = server(store, { store: held.store });
    await sealMany(one.keyring, 4);
    held.hold();
    const recording = one.keyring.recordUses();
    const asked = encryptions(one);
    await turn();
    await sealMany(one.keyring, 2);
    held.release();
    await recording;
    expect(await asked).toBe(6);
    expect(await encryptions(one)).toBe(6);
  });

  test('fails when uses cannot be recorded, and is exact afterwards', async () => {
    const store = new TestStore();
    const one = server(store);
    await sealMany(one.keyring, 4);
    store.failing = 'recordUses';
    expect(await rejection(one.keyring.info(scope))).toBe('STORE_UNAVAILABLE');
    await sealMany(one.keyring, 3);
    expect(await rejection(one.keyring.recordUses())).toBe('STORE_UNAVAILABLE');
    store.failing = undefined;
    expect(await encryptions(one)).toBe(7);
    await one.keyring.close();
    expect(await store.findCurrent(scope)).toMatchObject({ recordedUses: 7 });
  });
});

test('every version has its own count, over rotations and two servers', async () => {
  const store = new TestStore();
  const servers = [server(store, { maxEncryptions: 70 }), server(store, { maxEncryptions: 70 })];
  const blobs = (
    await parallel(100, async (i) => {
      const { keyring } = servers[i % 2]!;
      const made = await sealMany(keyring, 1 + (i % 5));
      if (i % 10 === 0) await keyring.recordUses();
      return made;
    })
  ).flat();
  for (const { keyring } of servers) await keyring.close();
  const counts = tally(blobs);
  for (const { id } of store.made) {
    const row = await store.findVersion(scope, id);
    expect(typeof row === 'string' ? row : row.recordedUses).toBe(counts.get(id) ?? 0);
  }
});

describe('recording', () => {
  test('writes nothing when nothing was used', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    await keyring.recordUses();
    await seal(keyring);
    await keyring.recordUses();
    await keyring.recordUses();
    expect(store.count('recordUses')).toBe(1);
  });

  test('goes in blocks of a thousand, and a failed block alone is recorded again', async () => {
    const store = new TestStore();
    const recorded: VersionUses[][] = [];
    let failAt = 1;
    store.recordUses = async (uses) => {
      if (recorded.length === failAt) throw new Error('down');
      recorded.push([...uses]);
    };
    const counter = new UseCounter(store);
    for (let i = 0; i < 2500; i++) counter.add(scopeNumber(i), `id-${i}`, i);
    await expect(counter.record()).rejects.toThrow('down');
    expect(recorded.map((uses) => uses.length)).toEqual([1000]);
    expect(counter.pending('id-0')).toBe(0);
    expect(counter.pending('id-1000')).toBe(1000);
    counter.add(scopeNumber(1000), 'id-1000', 5);
    failAt = Infinity;
    await counter.record();
    expect(recorded.map((uses) => uses.length)).toEqual([1000, 1000, 500]);
    const all = new Map(recorded.flat().map(({ id, uses }) => [id, uses]));
    expect(all.size).toBe(2500);
    expect(all.get('id-1000')).toBe(1005);
    expect(all.get('id-2499')).toBe(2499);
  });

  test('keeps what is used meanwhile for the next time', async () => {
    const store = new TestStore();
    const held = holding(store, 'recordUses');
    const counter = new UseCounter(held.store);
    held.hold();
    counter.add(scope, 'a', 1);
    const recording = counter.record();
    await turn();
    counter.add(scope, 'a', 2);
    held.release();
    await recording;
    expect(counter.pending('a')).toBe(2);
  });
});
