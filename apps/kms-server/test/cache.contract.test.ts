import { createServer } from 'node:net';
import { byteCacheContract } from '@minikms/key-hierarchy/testing';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, describe, expect, it } from 'vitest';
import { redisCache, type SharedCache } from '../src/cache.ts';

const URL = process.env['MINIKMS_TEST_REDIS_URL'];
if (URL === undefined) console.warn('MINIKMS_TEST_REDIS_URL is not set: the Redis cache is not tested');

const log = pino({ level: 'silent' });
const opened: SharedCache[] = [];
afterAll(() => Promise.all(opened.map((cache) => cache.close())));

async function open(url: string, onHint: () => void = () => {}): Promise<SharedCache> {
  const cache = redisCache(url, log, onHint);
  opened.push(cache);
  return cache;
}

describe.skipIf(URL === undefined)('Redis', () => {
  byteCacheContract('Redis', async () => {
    const cache = await open(URL ?? '');
    await expect
      .poll(async () => {
        await cache.set('minikms:test:ready', Uint8Array.of(1), 1000);
        return cache.get('minikms:test:ready');
      })
      .toBeDefined();
    return cache;
  });

  it('passes hints on to the other servers', async () => {
    let hints = 0;
    await open(URL ?? '', () => hints++);
    const other = await open(URL ?? '');
    await expect
      .poll(() => {
        other.hint();
        return hints;
      })
      .toBeGreaterThan(1);
  });

  it('gives up on a Redis that accepts and never answers', async () => {
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const address = silent.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const cache = await open(`redis://127.0.0.1:${address.port}`);
    expect(await cache.get('minikms:test:a')).toBeUndefined();
    await cache.set('minikms:test:a', Uint8Array.of(1), 1000);
    silent.close();
  });

  it('survives the loss of its connections', async () => {
    const cache = await open(URL ?? '');
    const admin = new Redis(URL ?? '');
    await expect
      .poll(() => cache.set('minikms:test:b', Uint8Array.of(1), 60_000).then(() => cache.get('minikms:test:b')))
      .toBeDefined();
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await expect.poll(() => cache.get('minikms:test:b'), { timeout: 5000 }).toBeDefined();
    admin.disconnect();
  });
});

describe('without Redis', () => {
  it('every look-up is a miss, and nothing throws', async () => {
    const cache = await open('redis://127.0.0.1:1');
    await cache.set('minikms:test:a', Uint8Array.of(1), 1000);
    expect(await cache.get('minikms:test:a')).toBeUndefined();
    await cache.delete('minikms:test:a');
    cache.hint();
  });
});
