import { randomUUID } from 'node:crypto';
import { parseSealed, uuidToBytes } from '@minikms/crypto-core';
import { describe, expect, test } from 'vitest';
import { rejection, rootOf } from './cases.ts';
import {
  opens,
  parallel,
  scope,
  scopeNumber,
  seal,
  sealNow,
  server,
  tally,
  TestStore,
  turn,
  versionOf,
} from './fixture.ts';

const messageOf = (promise: PromiseLike<unknown>): Promise<string> =>
  Promise.resolve(promise).then(
    () => 'resolved',
    (error: Error) => error.message,
  );

describe('the first encryption of a scope', () => {
  test('makes one version, whoever of fifty on each of two servers comes first', async () => {
    const store = new TestStore();
    const [a, b] = [server(store).keyring, server(store).keyring];
    const blobs = await parallel(100, (i) => seal(i % 2 === 0 ? a : b));
    expect(store.made).toHaveLength(1);
    expect(tally(blobs)).toEqual(new Map([[store.made[0]!.id, 100]]));
    expect(store.made[0]).toMatchObject({ ...scope, version: 1, tenantKeyGeneration: 0 });
    for (const blob of blobs) expect(await opens(b, blob)).toBe(true);
  });

  test('takes two round trips', async () => {
    const store = new TestStore();
    await seal(server(store).keyring);
    expect(store.calls).toEqual(['lease', 'createFirst']);
  });

  test('gives each scope a key of its own', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const blobs = await parallel(5, (i) => seal(keyring, scopeNumber(i)));
    expect(tally(blobs).size).toBe(5);
    expect(await rejection(opens(keyring, blobs[0]!, scopeNumber(1)))).toBe('CIPHERTEXT_INVALID');
  });

  test('may be prepared by create, which makes one version however often it is called', async () => {
    const store = new TestStore();
    const [a, b] = [server(store).keyring, server(store).keyring];
    const all = await parallel(20, (i) => (i % 2 === 0 ? a : b).create(scope));
    expect(new Set(all.map(({ keyVersionId }) => keyVersionId)).size).toBe(1);
    expect(all[0]).toEqual({ keyVersionId: store.made[0]!.id, version: 1, written: undefined });
    expect(await store.findCurrent(scope)).toMatchObject({ leasedUses: 0 });
    expect(versionOf(await seal(a))).toBe(all[0]?.keyVersionId);
    await a.rotate(scope);
    expect(await b.create(scope)).toMatchObject({ version: 2 });
  });
});

describe('a warm key', () => {
  test('encrypts and decrypts without a promise and without the store', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const blob = await seal(keyring);
    const calls = store.calls.length;
    for (let i = 0; i < 100; i++) sealNow(keyring);
    const key = keyring.decryptor(scope, parseSealed(blob).keyVersionId);
    expect(key).not.toBeInstanceOf(Promise);
    await turn();
    expect(store.calls).toHaveLength(calls);
  });

  test('works while the store is down, as long as changes are known', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const blob = await seal(keyring);
    store.down = true;
    for (let i = 0; i < 50; i++) sealNow(keyring);
    expect(await opens(keyring, blob)).toBe(true);
  });

  test('never waits for its next lease', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    await seal(keyring);
    for (let i = 0; i < 2000; i++) {
      sealNow(keyring);
      if (i % 40 === 0) await turn();
    }
    // 256, then ever larger: 512, 1024, 2048.
    expect(store.count('lease')).toBeLessThanOrEqual(4);
  });

  test('leases again by itself after a lease has failed', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    await seal(keyring);
    store.down = true;
    for (let i = 0; i < 255; i++) sealNow(keyring);
    await turn();
    expect(await rejection(seal(keyring))).toBe('STORE_UNAVAILABLE');
    store.down = false;
    await seal(keyring);
    await turn();
    sealNow(keyring);
  });
});

describe('a cold key', () => {
  test('is read once, however many ask', async () => {
    const store = new TestStore();
    const blob = await seal(server(store).keyring);
    const { keyring } = server(store);
    const before = store.calls.length;
    expect((await parallel(50, () => opens(keyring, blob))).every(Boolean)).toBe(true);
    expect(store.calls.slice(before)).toEqual(['findVersion']);
    await parallel(50, () => seal(keyring));
    expect(store.calls.slice(before)).toEqual(['findVersion', 'lease']);
  });

  test('fails for all who wait when the store is down, asks once, and works afterwards', async () => {
    const store = new TestStore();
    const blob = await seal(server(store).keyring);
    const { keyring } = server(store);
    store.down = true;
    const before = store.calls.length;
    const failures = await parallel(40, (i) => rejection(i % 2 === 0 ? seal(keyring) : opens(keyring, blob)));
    expect(new Set(failures)).toEqual(new Set(['STORE_UNAVAILABLE']));
    expect(store.calls.slice(before).toSorted()).toEqual(['findVersion', 'lease']);
    store.down = false;
    expect(await opens(keyring, await seal(keyring))).toBe(true);
  });
});

describe('a key version that is not there', () => {
  test('in an unknown scope: KEY_NOT_FOUND, whether another tenant has it or not', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const blob = await seal(keyring);
    const here = { tenantId: 'other', scopeId: scope.scopeId };
    const exists = Promise.resolve(keyring.decryptor(here, parseSealed(blob).keyVersionId));
    const not = Promise.resolve(keyring.decryptor(here, uuidToBytes(randomUUID())));
    expect(await rejection(exists)).toBe('KEY_NOT_FOUND');
    expect(await rejection(not)).toBe('KEY_NOT_FOUND');
    expect(await messageOf(exists)).toBe(await messageOf(not));
  });

  test("in a known scope: CIPHERTEXT_INVALID, the same for another tenant's and for nobody's", async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const other = { tenantId: 'other', scopeId: scope.scopeId };
    const theirs = await seal(keyring, other);
    const mine = await seal(keyring);
    const existing = Promise.resolve(keyring.decryptor(scope, parseSealed(theirs).keyVersionId));
    const none = Promise.resolve(keyring.decryptor(scope, uuidToBytes(randomUUID())));
    expect(await rejection(existing)).toBe('CIPHERTEXT_INVALID');
    expect(await rejection(none)).toBe('CIPHERTEXT_INVALID');
    // Nor does a warm key of the right scope say more.
    const forged = Buffer.from(mine);
    forged[40]! ^= 1;
    expect(await messageOf(existing)).toBe(await messageOf(none));
    expect(await messageOf(opens(keyring, forged))).toBe(await messageOf(none));
  });

  test('is not remembered', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    await seal(keyring);
    const size = keyring.size;
    await parallel(50, () => rejection(Promise.resolve(keyring.decryptor(scope, uuidToBytes(randomUUID())))));
    expect(keyring.size).toBe(size);
  });

  test('cannot be rotated or described', async () => {
    const { keyring } = server(new TestStore());
    expect(await rejection(keyring.rotate(scope))).toBe('KEY_NOT_FOUND');
    expect(await rejection(keyring.info(scope))).toBe('KEY_NOT_FOUND');
  });
});

describe('a stored row that was changed', () => {
  const wrapped = async (store: TestStore) => {
    const blob = await seal(server(store).keyring);
    const row = await store.findCurrent(scope);
    if (row === undefined) throw new Error('no row');
    return { blob, row };
  };

  test('does not open: KEY_UNWRAP_FAILED, and works again when it is put back', async () => {
    const store = new TestStore();
    const { blob, row } = await wrapped(store);
    const flipped = Uint8Array.from(row.wrappedDek);
    flipped[20]! ^= 1;
    store.tamper({ ...row, wrappedDek: flipped });
    const { keyring } = server(store);
    expect(await rejection(seal(keyring))).toBe('KEY_UNWRAP_FAILED');
    expect(await rejection(opens(keyring, blob))).toBe('KEY_UNWRAP_FAILED');
    expect(keyring.size).toBe(0);
    store.tamper(row);
    expect(await opens(keyring, blob)).toBe(true);
    expect(versionOf(await seal(keyring))).toBe(row.id);
  });

  test("does not open with another scope's key or as another version", async () => {
    const store = new TestStore();
    const { blob, row } = await wrapped(store);
    await seal(server(store).keyring, scopeNumber(1));
    const other = await store.findCurrent(scopeNumber(1));
    store.tamper({ ...row, wrappedDek: other!.wrappedDek });
    expect(await rejection(opens(server(store).keyring, blob))).toBe('KEY_UNWRAP_FAILED');
    store.tamper({ ...row, version: 2 });
    expect(await rejection(opens(server(store).keyring, blob))).toBe('KEY_UNWRAP_FAILED');
    store.tamper({ ...row, tenantKeyGeneration: 1 });
    expect(await rejection(opens(server(store).keyring, blob))).toBe('KEY_UNWRAP_FAILED');
  });

  test('that names another root key or salt says so', async () => {
    const store = new TestStore();
    const { blob, row } = await wrapped(store);
    store.tamper({ ...row, rootKeyId: rootOf(8).check.rootKeyId });
    expect(await rejection(opens(server(store).keyring, blob))).toBe('ROOT_KEY_MISMATCH');
    expect(await rejection(seal(server(store).keyring))).toBe('ROOT_KEY_MISMATCH');
    store.tamper({ ...row, saltId: rootOf(7, 'x').check.saltId });
    expect(await rejection(opens(server(store).keyring, blob))).toBe('SALT_MISMATCH');
  });
});

test.each([0, -1, 0.5, NaN, Infinity])('nobody may ask for %s uses: it would spoil the count', (wanted) => {
  expect(() => server(new TestStore()).keyring.encryptor(scope, wanted)).toThrow(RangeError);
});
