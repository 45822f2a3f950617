import { parseSealed, utf8 } from '@minikms/crypto-core';
import { describe, expect, test } from 'vitest';
import { MemoryByteCache } from '../src/testing.ts';
import { codeOf, rejection } from './cases.ts';
import { opens, parallel, Poller, scope, scopeNumber, seal, sealNow, server, TestStore, turn } from './fixture.ts';

const TEXT = utf8('text');
const leased = async (store: TestStore): Promise<number> => (await store.findCurrent(scope))!.leasedUses;

describe('a full cache', () => {
  test('holds no more keys than it may', async () => {
    const { keyring } = server(new TestStore(), { cacheSize: 3 });
    for (let i = 0; i < 50; i++) {
      await seal(keyring, scopeNumber(i));
      expect(keyring.size).toBeLessThanOrEqual(3);
    }
    expect(keyring.size).toBe(3);
  });

  test('destroys what leaves, and not before the turn ends', async () => {
    const { keyring } = server(new TestStore(), { cacheSize: 2 });
    const { key } = await keyring.encryptor(scope, 1);
    await keyring.encryptor(scopeNumber(1), 1);
    const blob = key.seal(TEXT, '');
    await keyring.encryptor(scopeNumber(2), 1);
    // Evicted in this very turn: who was handed it before still uses it.
    expect(key.open(blob, '').equals(TEXT)).toBe(true);
    await turn();
    expect(codeOf(() => key.seal(TEXT, ''))).toBe('SECRET_DESTROYED');
    expect(codeOf(() => key.open(blob, ''))).toBe('SECRET_DESTROYED');
  });

  test.each([1, 2, 5])('of %i serves many scopes at once', async (cacheSize) => {
    const store = new TestStore();
    const { keyring } = server(store, { cacheSize });
    const blobs = await parallel(60, (i) => seal(keyring, scopeNumber(i % 20)));
    const all = await parallel(60, (i) => opens(keyring, blobs[i]!, scopeNumber(i % 20)));
    expect(all.every(Boolean)).toBe(true);
    expect(store.made).toHaveLength(20);
    expect(keyring.size).toBeLessThanOrEqual(cacheSize);
  });

  test('leases once for a call, even if its entry is evicted before the call goes on', async () => {
    const store = new TestStore();
    await parallel(10, (i) => server(store).keyring.create(scopeNumber(i)));
    const before = store.calls.length;
    const { keyring } = server(store, { cacheSize: 1 });
    await parallel(10, (i) => seal(keyring, scopeNumber(i)));
    expect(store.calls.slice(before)).toEqual(Array.from({ length: 10 }, () => 'lease'));
  });

  test('evicts a key and keeps what was leased for it', async () => {
    const store = new TestStore();
    // One current version, but many old ones to decrypt with: only the key goes.
    const maker = server(store).keyring;
    const old = [];
    for (let i = 0; i < 5; i++) {
      old.push(await seal(maker));
      await maker.rotate(scope);
    }
    const { keyring } = server(store, { cacheSize: 2 });
    await seal(keyring);
    const before = await leased(store);
    for (let i = 0; i < 10; i++) {
      await opens(keyring, old[i % 5]!);
      await opens(keyring, old[(i + 1) % 5]!);
      await seal(keyring);
    }
    expect(await leased(store)).toBe(before);
  });
});

describe('time', () => {
  test('makes a key be read again, and loses no leased use', async () => {
    const store = new TestStore();
    const { keyring, time } = server(store);
    const blob = await seal(keyring);
    const before = await leased(store);
    for (let i = 0; i < 30; i++) {
      time.ms += 60_000;
      const calls = store.count('lease');
      expect(keyring.encryptor(scope, 1)).toBeInstanceOf(Promise);
      await turn();
      expect(store.count('lease')).toBe(calls + 1);
      sealNow(keyring);
    }
    expect(await leased(store)).toBe(before);
    time.ms += 60_000;
    expect(keyring.decryptor(scope, parseSealed(blob).keyVersionId)).toBeInstanceOf(Promise);
    await turn();
  });

  test('makes a key stop when the store is down', async () => {
    const store = new TestStore();
    const { keyring, time } = server(store);
    const blob = await seal(keyring);
    store.down = true;
    time.ms = 59_999;
    sealNow(keyring);
    time.ms = 60_000;
    expect(await rejection(seal(keyring))).toBe('STORE_UNAVAILABLE');
    expect(await rejection(opens(keyring, blob))).toBe('STORE_UNAVAILABLE');
  });

  test('lets sweep destroy what is past its time, and nothing else', async () => {
    const { keyring, time } = server(new TestStore());
    const { key: early } = await keyring.encryptor(scopeNumber(0), 1);
    time.ms = 30_000;
    const { key: late } = await keyring.encryptor(scopeNumber(1), 1);
    keyring.sweep();
    expect(keyring.size).toBe(2);
    time.ms = 60_000;
    keyring.sweep();
    await turn();
    expect(keyring.size).toBe(1);
    expect(codeOf(() => early.seal(TEXT, ''))).toBe('SECRET_DESTROYED');
    expect(codeOf(() => late.seal(TEXT, ''))).toBe('returned');
    await seal(keyring, scopeNumber(0));
  });

  test('replaces the key of a version that is read again, and destroys the former', async () => {
    const { keyring, time } = server(new TestStore());
    const { key } = await keyring.encryptor(scope, 1);
    time.ms = 60_000;
    await seal(keyring);
    await turn();
    expect(codeOf(() => key.seal(TEXT, ''))).toBe('SECRET_DESTROYED');
  });
});

describe('a change clock that is not fresh', () => {
  test('makes every call ask the store, and burns no leases', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const blob = await seal(keyring);
    const before = await leased(store);
    store.isFresh = false;
    const calls = store.calls.length;
    for (let i = 0; i < 20; i++) {
      await seal(keyring);
      expect(await opens(keyring, blob)).toBe(true);
    }
    expect(store.calls.slice(calls)).toEqual(Array.from({ length: 20 }, () => ['lease', 'findVersion']).flat());
    expect(await leased(store)).toBe(before);
  });

  test('lets parallel calls through, one lease for all', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    store.isFresh = false;
    await parallel(100, () => seal(keyring));
    expect(await leased(store)).toBe(256);
  });

  test('fails every call when the store is down too', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const blob = await seal(keyring);
    store.isFresh = false;
    store.down = true;
    expect(await rejection(seal(keyring))).toBe('STORE_UNAVAILABLE');
    expect(await rejection(opens(keyring, blob))).toBe('STORE_UNAVAILABLE');
    store.isFresh = true;
    sealNow(keyring);
    expect(await opens(keyring, blob)).toBe(true);
  });
});

describe('the shared cache', () => {
  const shared = async () => {
    const store = new TestStore();
    const bytes = new MemoryByteCache();
    const blob = await seal(server(store).keyring);
    expect(await opens(server(store, { bytes }).keyring, blob)).toBe(true);
    await turn();
    expect(bytes.values.size).toBe(1);
    return { store, bytes, blob };
  };

  test('gives a cold server the row without the store', async () => {
    const { store, bytes, blob } = await shared();
    const calls = store.calls.length;
    const { keyring } = server(store, { bytes });
    store.down = true;
    expect(await opens(keyring, blob)).toBe(true);
    expect(keyring.decryptor(scope, parseSealed(blob).keyVersionId)).not.toBeInstanceOf(Promise);
    expect(store.calls).toHaveLength(calls);
  });

  test('is not asked for an entry older than a change', async () => {
    const { store, bytes, blob } = await shared();
    await server(store).keyring.rotate(scope);
    const calls = store.calls.length;
    expect(await opens(server(store, { bytes }).keyring, blob)).toBe(true);
    expect(store.calls.slice(calls)).toEqual(['findVersion']);
    // What was read then is newer and serves the next.
    await turn();
    expect(await opens(server(store, { bytes }).keyring, blob)).toBe(true);
    expect(store.calls.slice(calls)).toEqual(['findVersion']);
  });

  test('is not asked while changes may have been missed', async () => {
    const { store, bytes, blob } = await shared();
    const changes = new Poller(store);
    changes.isFresh = false;
    const calls = store.calls.length;
    expect(await opens(server(store, { bytes, changes }).keyring, blob)).toBe(true);
    expect(store.calls.slice(calls)).toEqual(['findVersion']);
  });

  test('is ignored when somebody wrote into it', async () => {
    const { store, bytes, blob } = await shared();
    for (const entry of bytes.values.values()) entry.value = entry.value.map((byte, i) => (i === 60 ? byte ^ 1 : byte));
    expect(await opens(server(store, { bytes }).keyring, blob)).toBe(true);
  });

  test('may fail to keep a value without anybody noticing', async () => {
    const store = new TestStore();
    const blob = await seal(server(store).keyring);
    const bytes = {
      get: async () => undefined,
      set: () => Promise.reject(new Error('away')),
      delete: async () => {},
    };
    // An unhandled rejection would fail this run.
    expect(await opens(server(store, { bytes }).keyring, blob)).toBe(true);
    await turn();
  });

  test('is not given a row that does not open', async () => {
    const store = new TestStore();
    const bytes = new MemoryByteCache();
    const blob = await seal(server(store).keyring);
    const row = (await store.findCurrent(scope))!;
    store.tamper({ ...row, version: 9 });
    expect(await rejection(opens(server(store, { bytes }).keyring, blob))).toBe('KEY_UNWRAP_FAILED');
    await turn();
    expect(bytes.values.size).toBe(0);
  });
});

describe('close', () => {
  test('records uses and destroys every key', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const keys = await parallel(5, async (i) => (await keyring.encryptor(scopeNumber(i), 3)).key);
    await keyring.close();
    await turn();
    expect(keyring.size).toBe(0);
    for (const key of keys) expect(codeOf(() => key.seal(TEXT, ''))).toBe('SECRET_DESTROYED');
    expect(await store.findCurrent(scopeNumber(4))).toMatchObject({ recordedUses: 3 });
  });

  test('destroys keys when the store is down, and says that uses were not recorded', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const { key } = await keyring.encryptor(scope, 1);
    store.down = true;
    expect(await rejection(keyring.close())).toBe('STORE_UNAVAILABLE');
    await turn();
    expect(codeOf(() => key.seal(TEXT, ''))).toBe('SECRET_DESTROYED');
  });
});
