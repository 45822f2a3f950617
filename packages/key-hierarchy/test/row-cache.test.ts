import { describe, expect, test } from 'vitest';
import { type NewKeyVersion, RowCache, serverKey } from '../src/index.ts';
import { ROW_CACHE_TTL_MS } from '../src/row-cache.ts';
import { MemoryByteCache } from '../src/testing.ts';
import { newKeyVersion, unwrapDek } from '../src/wrap.ts';
import { codeOf, rootOf } from './cases.ts';

const root = rootOf();

/** A cache with one row in it, and the name and bytes that it has there. */
async function filled(now = { ms: 1_000_000 }) {
  const cache = new MemoryByteCache();
  const rows = new RowCache(cache, serverKey(root, 'row-cache-mac'), () => now.ms);
  const row = newKeyVersion(root, { tenantId: 'acme', scopeId: 'payments' }, 3, 1000);
  await rows.set(row, 42);
  const [name] = [...cache.values.keys()];
  if (name === undefined) throw new Error('nothing was set');
  const value = (await cache.get(name))!;
  const put = (bytes: Uint8Array, at: string = name): Promise<void> => cache.set(at, bytes, 60_000);
  return { cache, rows, row, name, value, put, now };
}

const bytes = (row: NewKeyVersion): NewKeyVersion => ({
  ...row,
  wrappedDek: Uint8Array.from(row.wrappedDek),
  rootKeyId: Uint8Array.from(row.rootKeyId),
  saltId: Uint8Array.from(row.saltId),
});

describe('the shared row cache', () => {
  test('gives a row back whole, with its change number', async () => {
    const { rows, row } = await filled();
    const found = await rows.get(row, row.id);
    expect(found?.position).toBe(42);
    expect(bytes(found!.row)).toEqual(bytes(row));
    expect(codeOf(() => unwrapDek(root, found!.row))).toBe('returned');
  });

  test('holds the wrapped key only', async () => {
    const { row, value } = await filled();
    const dek = unwrapDek(root, row);
    expect(dek.expose((plain) => Buffer.from(value).includes(plain))).toBe(false);
    expect(Buffer.from(value).includes(row.wrappedDek)).toBe(true);
  });

  test('works from one server to another that starts with the same root key', async () => {
    const { cache, row } = await filled();
    const other = new RowCache(cache, serverKey(rootOf(), 'row-cache-mac'), () => 1_000_001);
    expect((await other.get(row, row.id))?.row.version).toBe(3);
  });

  test('has nothing for other names', async () => {
    const { rows, row } = await filled();
    const other = newKeyVersion(root, row, 4, 1000);
    expect(await rows.get(row, other.id)).toBeUndefined();
    expect(await rows.get({ ...row, scopeId: 'other' }, row.id)).toBeUndefined();
    expect(await rows.get({ ...row, tenantId: 'other' }, row.id)).toBeUndefined();
  });

  test('misses whatever bit is flipped', async () => {
    const { rows, row, value, put } = await filled();
    for (let bit = 0; bit < value.length * 8; bit++) {
      const changed = Uint8Array.from(value);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      await put(changed);
      expect(await rows.get(row, row.id), `bit ${bit}`).toBeUndefined();
    }
    await put(value);
    expect(await rows.get(row, row.id)).toBeDefined();
  });

  test('misses whatever length it is cut or extended to', async () => {
    const { rows, row, value, put } = await filled();
    for (let length = 0; length < value.length; length++) {
      await put(value.slice(0, length));
      expect(await rows.get(row, row.id), `${length} bytes`).toBeUndefined();
    }
    for (const more of [[0], [0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1, 9]]) {
      await put(Uint8Array.from([...value, ...more]));
      expect(await rows.get(row, row.id)).toBeUndefined();
    }
    await put(value.slice(1));
    expect(await rows.get(row, row.id)).toBeUndefined();
  });

  test('misses a value moved to another name or swapped with another entry', async () => {
    const { cache, rows, row, name, value, put } = await filled();
    const other = newKeyVersion(root, row, 4, 1000);
    await rows.set(other, 42);
    const [otherName] = [...cache.values.keys()].filter((each) => each !== name);
    const otherValue = (await cache.get(otherName!))!;
    await put(value, otherName);
    await put(otherValue, name);
    expect(await rows.get(row, row.id)).toBeUndefined();
    expect(await rows.get(other, other.id)).toBeUndefined();
    const elsewhere = newKeyVersion(root, { tenantId: 'other', scopeId: 'payments' }, 1, 1000);
    await put(value, name.replace('acme', 'other'));
    expect(await rows.get(elsewhere, row.id)).toBeUndefined();
  });

  test('does not mix the parts of two values', async () => {
    const { cache, rows, row, name, value, put } = await filled();
    await rows.set({ ...row, version: 4 }, 43);
    const newer = (await cache.get(name))!;
    await put(Uint8Array.from([...value.slice(0, 32), ...newer.slice(32)]));
    expect(await rows.get(row, row.id)).toBeUndefined();
  });

  test('forgets after five minutes, whatever the cache does', async () => {
    const { rows, row, now, value, put } = await filled();
    const written = now.ms;
    await put(value);
    now.ms = written + ROW_CACHE_TTL_MS - 1;
    expect(await rows.get(row, row.id)).toBeDefined();
    now.ms = written + ROW_CACHE_TTL_MS;
    expect(await rows.get(row, row.id)).toBeUndefined();
    expect(ROW_CACHE_TTL_MS).toBe(300_000);
  });

  test('asks the cache to forget after five minutes', async () => {
    const ttls: number[] = [];
    const cache = {
      get: async () => undefined,
      set: async (_: string, __: Uint8Array, ttl: number) => void ttls.push(ttl),
      delete: async () => {},
    };
    const rows = new RowCache(cache, serverKey(root, 'row-cache-mac'), () => 5);
    await rows.set(newKeyVersion(root, { tenantId: 'a', scopeId: 'b' }, 1, 10), 0);
    expect(ttls).toEqual([300_000]);
  });

  test('misses under the key of another root', async () => {
    const { cache, row } = await filled();
    const other = new RowCache(cache, serverKey(rootOf(8), 'row-cache-mac'), () => 1_000_000);
    expect(await other.get(row, row.id)).toBeUndefined();
  });

  test('misses whatever else than bytes the cache gives, and when it throws', async () => {
    const { row, value } = await filled();
    const key = serverKey(root, 'row-cache-mac');
    const strange = [7, -1, null, true, 'x'.repeat(400), [1, 2], { length: 400 }, new Map(), new Error('x'), 10n];
    for (const each of [...strange, [...value], new Uint8Array(4097)]) {
      const cache = { get: async () => each as Uint8Array, set: async () => {}, delete: async () => {} };
      expect(await new RowCache(cache, key, () => 1_000_000).get(row, row.id)).toBeUndefined();
    }
    const throwing = [
      async () => Promise.reject(new Error('away')),
      (): never => {
        throw new TypeError('broken');
      },
    ];
    for (const get of throwing) {
      const cache = { get, set: async () => {}, delete: async () => {} };
      expect(await new RowCache(cache, key, () => 1_000_000).get(row, row.id)).toBeUndefined();
    }
  });

  test('takes a clock with fractions of a millisecond', async () => {
    const now = { ms: 1_000_000.75 };
    const { rows, row } = await filled(now);
    expect(await rows.get(row, row.id)).toBeDefined();
  });

  test('names entries unambiguously', async () => {
    const { cache, rows, row } = await filled();
    await rows.set({ ...row, tenantId: 'a:b', scopeId: 'c' }, 0);
    await rows.set({ ...row, tenantId: 'a', scopeId: 'b:c' }, 0);
    expect(cache.values.size).toBe(3);
  });
});
