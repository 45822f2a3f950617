import { describe, expect, test } from 'vitest';
import { leaseSize } from '../src/budget.ts';
import { DEFAULT_MAX_ENCRYPTIONS, LARGEST_MAX_ENCRYPTIONS } from '../src/index.ts';
import { rejection } from './cases.ts';
import {
  holding,
  opens,
  parallel,
  Poller,
  scope,
  seal,
  sealMany,
  sealNow,
  server,
  tally,
  TestStore,
  turn,
  versionOf,
} from './fixture.ts';

/** Seals with what is leased already, the store being down, until there is none left. */
async function drain(store: TestStore, keyring: ReturnType<typeof server>['keyring']): Promise<Buffer[]> {
  store.down = true;
  const blobs: Buffer[] = [];
  try {
    for (;;) blobs.push(sealNow(keyring));
  } catch {
    await turn();
    return blobs;
  } finally {
    store.down = false;
  }
}

test('the budgets are a quarter of and the whole of what NIST SP 800-38D allows', () => {
  expect(DEFAULT_MAX_ENCRYPTIONS).toBe(2 ** 30);
  expect(LARGEST_MAX_ENCRYPTIONS).toBe(2 ** 32);
});

test('leases grow while a key is used much, up to a 64th of its budget', () => {
  const sizes = (max: number): number[] => {
    let size = 0;
    return Array.from({ length: 11 }, () => (size = leaseSize(size, max)));
  };
  expect(sizes(2 ** 30)).toEqual([256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 65536, 65536]);
  expect(sizes(6400).slice(0, 3)).toEqual([100, 100, 100]);
  expect(sizes(100).slice(0, 2)).toEqual([1, 1]);
  expect(sizes(1).slice(0, 2)).toEqual([1, 1]);
});

describe('no version encrypts more often than its budget', () => {
  test.each([
    [1, 1, 30],
    [1, 3, 10],
    [2, 1, 40],
    [10, 1, 100],
    [10, 25, 8],
    [100, 7, 60],
    [1000, 150, 30],
  ])('of %i, in batches of %i, %i at once on two servers', async (maxEncryptions, batch, calls) => {
    const store = new TestStore();
    const clocks = [new Poller(store), new Poller(store)];
    const servers = clocks.map((changes) => server(store, { changes, maxEncryptions }).keyring);
    const blobs = (
      await parallel(calls, async (i) => {
        const made = await sealMany(servers[i % 2]!, batch);
        clocks[i % 2]!.poll();
        return made;
      })
    ).flat();
    expect(blobs).toHaveLength(calls * batch);
    const counts = tally(blobs);
    expect(Math.max(...counts.values())).toBeLessThanOrEqual(maxEncryptions);
    expect(store.made.map(({ version }) => version)).toEqual(store.made.map((_, i) => i + 1));
    expect(new Set(store.made.map(({ maxEncryptions: budget }) => budget))).toEqual(new Set([maxEncryptions]));
    await turn();
    const cold = server(store).keyring;
    for (const blob of blobs) expect(await opens(cold, blob)).toBe(true);
    for (const { id } of store.made) {
      const row = await store.findVersion(scope, id);
      expect(typeof row === 'string' ? row : row.leasedUses).toBeGreaterThanOrEqual(counts.get(id) ?? 0);
    }
  });

  test('and a batch that wants more gets what is left, then the next version', async () => {
    const store = new TestStore();
    const { keyring } = server(store, { maxEncryptions: 10 });
    const first = await keyring.encryptor(scope, 25);
    expect(first.granted).toBe(10);
    const blobs = await sealMany(keyring, 25);
    expect([...tally(blobs).values()]).toEqual([10, 10, 5]);
    expect(versionOf(blobs[0]!)).not.toBe(first.keyVersionId);
  });
});

describe('a successor', () => {
  test('is made when 90 % are leased', async () => {
    const store = new TestStore();
    const { keyring, rotations } = server(store, { maxEncryptions: 1000 });
    const blobs = [];
    while (store.made.length < 2) {
      blobs.push(await seal(keyring));
      await turn();
    }
    const [first, second] = store.made;
    expect(rotations).toEqual([{ ...scope, oldKeyVersionId: first?.id, error: undefined }]);
    const row = await store.findVersion(scope, first!.id);
    // Leases of 15 at most, one of them ahead.
    expect(row).toMatchObject({ status: 'retired' });
    expect(typeof row === 'string' ? 0 : row.leasedUses).toBeGreaterThanOrEqual(900);
    expect(typeof row === 'string' ? 0 : row.leasedUses).toBeLessThanOrEqual(930);
    expect(blobs.length).toBeGreaterThan(870);
    expect(versionOf(await seal(keyring))).toBe(second?.id);
  });

  test('is made once by two servers that both see it due', async () => {
    const store = new TestStore();
    const servers = [server(store, { maxEncryptions: 100 }), server(store, { maxEncryptions: 100 })];
    await parallel(90, (i) => seal(servers[i % 2]!.keyring));
    await turn();
    expect(store.made).toHaveLength(2);
    expect(servers.flatMap(({ rotations }) => rotations)).toHaveLength(1);
  });

  test('that cannot be made is reported and tried again, and the version goes on to its end, no further', async () => {
    const store = new TestStore();
    const { keyring, rotations } = server(store, { maxEncryptions: 200 });
    await seal(keyring);
    const v1 = store.made[0]!.id;
    store.failing = 'succeed';
    const blobs = [];
    let failure: unknown;
    while (failure === undefined) {
      try {
        blobs.push(await seal(keyring));
        await turn();
      } catch (error) {
        failure = error;
      }
    }
    expect(failure).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(tally(blobs)).toEqual(new Map([[v1, 199]]));
    expect(rotations.length).toBeGreaterThan(3);
    expect(rotations.every(({ error }) => error !== undefined)).toBe(true);
    // The hard stop stands as long as there is no successor.
    expect(await rejection(seal(keyring))).toBe('STORE_UNAVAILABLE');
    expect(await rejection(seal(server(store).keyring))).toBe('STORE_UNAVAILABLE');
    expect(await opens(keyring, blobs[0]!)).toBe(true);
    store.failing = undefined;
    expect(versionOf(await seal(keyring))).toBe(store.made[1]?.id);
    expect(rotations.at(-1)).toMatchObject({ oldKeyVersionId: v1, error: undefined });
  });

  test('gets the budget that is configured when it is made', async () => {
    const store = new TestStore();
    await seal(server(store, { maxEncryptions: 10 }).keyring);
    const { maxEncryptions } = await server(store, { maxEncryptions: 20 }).keyring.rotate(scope);
    expect(maxEncryptions).toBe(20);
  });

  test('is not made because others used up what was left while the row was read', async () => {
    const store = new TestStore();
    const held = holding(store, 'lease');
    const { keyring, rotations } = server(store, { store: held.store, maxEncryptions: 640 });
    for (let i = 0; i < 7; i++) await seal(keyring);
    // Three of ten are left: enough for this call, which only reads.
    store.isFresh = false;
    held.hold();
    const waiting = seal(keyring);
    await turn();
    store.isFresh = true;
    for (let i = 0; i < 3; i++) sealNow(keyring);
    held.release();
    expect(versionOf(await waiting)).toBe(store.made[0]?.id);
    await turn();
    expect(store.count('succeed')).toBe(0);
    expect(rotations).toEqual([]);
  });
});

describe('what is leased is used', () => {
  test('to the last, after time-outs, doubtful clocks and calls at once', async () => {
    const store = new TestStore();
    const servers = [server(store), server(store)];
    const blobs: Buffer[] = [];
    for (let round = 0; round < 40; round++) {
      await parallel(30, async (i) => {
        const { keyring, time } = servers[i % 2]!;
        if (i % 7 === 0) time.ms += 60_000;
        if (i === 11) store.isFresh = round % 3 !== 0;
        blobs.push(...(await sealMany(keyring, 1 + ((i * round) % 9))));
      });
      if (round % 2 === 0) await turn();
    }
    await turn();
    store.isFresh = true;
    for (const { keyring } of servers) {
      blobs.push(await seal(keyring));
      await turn();
    }
    for (const { keyring } of servers) blobs.push(...(await drain(store, keyring)));
    expect(await store.findCurrent(scope)).toMatchObject({ version: 1, leasedUses: blobs.length });
  });

  test('also if a call reads the row while a refill is under way', async () => {
    const store = new TestStore();
    const held = holding(store, 'lease');
    const { keyring } = server(store, { store: held.store });
    const blobs = [await seal(keyring)];
    held.hold();
    // The 193rd of 256 starts the refill.
    for (let i = 0; i < 200; i++) blobs.push(sealNow(keyring));
    await turn();
    expect(held.waiting).toBe(1);
    store.isFresh = false;
    const waiting = seal(keyring);
    await turn();
    held.release();
    blobs.push(await waiting);
    await turn();
    store.isFresh = true;
    blobs.push(...(await drain(store, keyring)));
    expect(await store.findCurrent(scope)).toMatchObject({ leasedUses: blobs.length });
  });

  test('also if the row did not open in between', async () => {
    const store = new TestStore();
    const { keyring, time } = server(store);
    const blobs = [await seal(keyring)];
    const row = (await store.findCurrent(scope))!;
    store.tamper({ ...row, wrappedDek: new Uint8Array(60) });
    time.ms += 60_000;
    expect(await rejection(seal(keyring))).toBe('KEY_UNWRAP_FAILED');
    store.tamper(row);
    blobs.push(await seal(keyring), ...(await drain(store, keyring)));
    expect(await store.findCurrent(scope)).toMatchObject({ leasedUses: blobs.length });
  });
});
