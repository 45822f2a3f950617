import { describe, expect, test } from 'vitest';
import { type RootKeyRegistry, verifyRoot } from '../src/index.ts';
import { MemoryStore } from '../src/testing.ts';
import { newKeyVersion } from '../src/wrap.ts';
import { rejection, rootOf } from './cases.ts';

describe('verifyRoot', () => {
  test('records the check values at the first start and passes with the same root after', async () => {
    const store = new MemoryStore();
    await verifyRoot(store, rootOf());
    expect((await store.load()).recorded).toEqual(rootOf().check);
    await verifyRoot(store, rootOf());
    expect(store.calls.filter((call) => call === 'record')).toHaveLength(1);
  });

  test('refuses another root key and another salt, naming which', async () => {
    const store = new MemoryStore();
    await verifyRoot(store, rootOf());
    expect(await rejection(verifyRoot(store, rootOf(8)))).toBe('ROOT_KEY_MISMATCH');
    expect(await rejection(verifyRoot(store, rootOf(7, 'another salt')))).toBe('SALT_MISMATCH');
    // The root key comes first: with another one the salt cannot be told.
    expect(await rejection(verifyRoot(store, rootOf(8, 'another salt')))).toBe('ROOT_KEY_MISMATCH');
    await expect(verifyRoot(store, rootOf(8))).rejects.toThrow(/root key/);
    await expect(verifyRoot(store, rootOf(7, 'x'))).rejects.toThrow(/salt/);
    expect((await store.load()).recorded).toEqual(rootOf().check);
  });

  test('refuses wrapped rows without a check value, the right root key too, and records nothing', async () => {
    const store = new MemoryStore();
    await verifyRoot(store, rootOf());
    await store.createFirst(newKeyVersion(rootOf(), { tenantId: 'acme', scopeId: 'a' }, 1, 10), 0);
    store.forgetRoot();
    expect(await rejection(verifyRoot(store, rootOf()))).toBe('ROOT_KEY_UNRECORDED');
    expect((await store.load()).recorded).toBeUndefined();
  });

  test('lets exactly one of two servers with different root keys start', async () => {
    const store = new MemoryStore();
    const results = await Promise.all([7, 8].map((byte) => rejection(verifyRoot(store, rootOf(byte)))));
    expect(results.toSorted()).toEqual(['ROOT_KEY_MISMATCH', 'resolved']);
    const winner = results[0] === 'resolved' ? 7 : 8;
    expect((await store.load()).recorded).toEqual(rootOf(winner).check);
  });

  test('lets many servers with one root key start together', async () => {
    const store = new MemoryStore();
    await Promise.all(Array.from({ length: 10 }, () => verifyRoot(store, rootOf())));
  });

  test.each([0, 15, 17])('refuses recorded check values of %i bytes', async (length) => {
    const { check } = rootOf();
    const cut = (bytes: Uint8Array): Uint8Array => Uint8Array.from({ length }, (_, i) => bytes[i] ?? 0);
    const registry = (recorded: typeof check): RootKeyRegistry => ({
      load: async () => ({ recorded, hasWrappedRows: true }),
      record: async () => {},
    });
    expect(await rejection(verifyRoot(registry({ ...check, rootKeyId: cut(check.rootKeyId) }), rootOf()))).toBe(
      'ROOT_KEY_MISMATCH',
    );
    expect(await rejection(verifyRoot(registry({ ...check, saltId: cut(check.saltId) }), rootOf()))).toBe(
      'SALT_MISMATCH',
    );
  });

  test('refuses a registry that keeps nothing, and passes on its failures', async () => {
    const forgetful = { load: async () => ({ recorded: undefined, hasWrappedRows: false }), record: async () => {} };
    expect(await rejection(verifyRoot(forgetful, rootOf()))).toBe('ROOT_KEY_MISMATCH');
    const store = new MemoryStore();
    store.down = true;
    expect(await rejection(verifyRoot(store, rootOf()))).toBe('STORE_UNAVAILABLE');
  });
});
