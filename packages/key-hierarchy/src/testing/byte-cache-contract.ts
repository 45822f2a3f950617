import { describe, expect, it } from 'vitest';
import type { ByteCache } from '../ports.ts';

/** What every {@link ByteCache} does; `open` gives one that no other test uses. */
export function byteCacheContract(name: string, open: () => Promise<ByteCache>): void {
  describe(`${name} as a byte cache`, () => {
    it('gives back the bytes that were set, and nothing for other names', async () => {
      const cache = await open();
      const value = Uint8Array.from({ length: 256 }, (_, i) => i);
      await cache.set('minikms:test:a', value, 10_000);
      expect(Buffer.from((await cache.get('minikms:test:a')) ?? [])).toEqual(Buffer.from(value));
      expect(await cache.get('minikms:test:b')).toBeUndefined();
    });

    it('replaces and deletes', async () => {
      const cache = await open();
      await cache.set('minikms:test:c', Uint8Array.of(1), 10_000);
      await cache.set('minikms:test:c', Uint8Array.of(2), 10_000);
      expect([...((await cache.get('minikms:test:c')) ?? [])]).toEqual([2]);
      await cache.delete('minikms:test:c');
      expect(await cache.get('minikms:test:c')).toBeUndefined();
      await cache.delete('minikms:test:c');
    });

    it('forgets after the time given', async () => {
      const cache = await open();
      await cache.set('minikms:test:d', Uint8Array.of(1), 20);
      await expect.poll(() => cache.get('minikms:test:d'), { timeout: 2000 }).toBeUndefined();
    });
  });
}
