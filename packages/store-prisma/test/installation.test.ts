import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Store } from '../src/index.ts';
import { database, newKey, parallel, type Database } from './fixture.ts';

let db: Database;
let store: Store;

beforeEach(async () => {
  db = await database();
  store = await db.store();
});
afterEach(() => db.drop());

describe('stamp', () => {
  it('holds from the first start on', async () => {
    await store.installation.stamp('development');
    await store.installation.stamp('development');
    const refused = store.installation.stamp('production');
    await expect(refused).rejects.toMatchObject({ name: 'StoreError', code: 'STORE_MODE_MISMATCH' });
    await expect(refused).rejects.toThrow(/stamped for development .* cannot be used in production mode/);
  });

  it('has one winner when servers of both modes start together', async () => {
    const stamped = await parallel(20, async (index) => {
      const mode = index % 2 === 0 ? 'development' : 'production';
      return store.installation.stamp(mode).then(
        () => mode,
        () => undefined,
      );
    });
    const [row] = await db.query('SELECT mode FROM installation');
    expect(stamped.filter((mode) => mode !== undefined)).toEqual(Array.from({ length: 10 }, () => row?.['mode']));
  });
});

describe('roots', () => {
  const check = { rootKeyId: new Uint8Array(16).fill(1), saltId: new Uint8Array(16).fill(2) };

  it('keeps what was recorded first', async () => {
    expect(await store.roots.load()).toEqual({ recorded: undefined, hasWrappedRows: false });
    await store.roots.record(check);
    await store.roots.record({ rootKeyId: new Uint8Array(16), saltId: check.saltId });
    expect(await store.roots.load()).toStrictEqual({ recorded: check, hasWrappedRows: false });
  });

  it('has one winner of 20', async () => {
    await parallel(20, (index) => store.roots.record({ ...check, saltId: new Uint8Array(16).fill(index) }));
    expect(await db.query('SELECT count(*)::int AS count FROM root_keys')).toEqual([{ count: 1 }]);
  });

  it('tells that wrapped rows exist', async () => {
    await store.keys.createFirst(newKey(), 0);
    expect(await store.roots.load()).toEqual({ recorded: undefined, hasWrappedRows: true });
  });
});
