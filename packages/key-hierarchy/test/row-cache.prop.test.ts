import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RowCache, serverKey } from '../src/index.ts';
import { MemoryByteCache } from '../src/testing.ts';
import { newKeyVersion } from '../src/wrap.ts';
import { rootOf } from './cases.ts';
import { tenantIds } from './arbitraries.ts';

const root = rootOf();
const key = serverKey(root, 'row-cache-mac');

test('random bytes in the cache are a miss and never an error', async () => {
  const row = newKeyVersion(root, { tenantId: 'acme', scopeId: 'payments' }, 1, 10);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (value) => {
      const cache = { get: async () => value, set: async () => {}, delete: async () => {} };
      expect(await new RowCache(cache, key, () => 0).get(row, row.id)).toBeUndefined();
    }),
    { numRuns: 500 },
  );
});

test('every row survives the round trip', async () => {
  const counts = fc.integer({ min: 1, max: 2 ** 32 });
  await fc.assert(
    fc.asyncProperty(tenantIds, tenantIds, counts, counts, fc.nat(), async (tenantId, scopeId, version, max, at) => {
      const cache = new RowCache(new MemoryByteCache(), key, () => 0);
      const row = newKeyVersion(root, { tenantId, scopeId }, version, max);
      await cache.set(row, at);
      const found = await cache.get({ tenantId, scopeId }, row.id);
      expect(found).toMatchObject({
        position: at,
        row: { tenantId, scopeId, id: row.id, version, maxEncryptions: max },
      });
      expect(Buffer.from(found!.row.wrappedDek)).toEqual(Buffer.from(row.wrappedDek));
    }),
  );
});
