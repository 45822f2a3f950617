import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { byteCacheContract } from '@minikms/key-hierarchy/testing';
import { pino } from 'pino';
import { afterAll, describe, expect, it } from 'vitest';
import { redisCache, type SharedCache } from '../src/cache.ts';

const REDIS = process.env['MINIKMS_TEST_REDIS_URL'] ?? '';
if (REDIS === '') console.warn('MINIKMS_TEST_REDIS_URL is not set: the Redis cache is not tested');

const log = pino({ level: 'silent' });
const opened: SharedCache[] = [];
afterAll(() => Promise.all(opened.map((cache) => cache.close())));

async function open(url: string, onHint: () => void = () => {}): Promise<SharedCache> {
  const cache = redisCache(url, log, onHint);
  opened.push(cache);
  return cache;
}

describe.skipIf(REDIS === '')('Redis', () => {
  byteCacheContract('Redis', async () => {
    const cache = await open(REDIS);
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
    await open(REDIS, () => hints++);
    const other = await open(REDIS);
    await expect
      .poll(() => {
        other.hint();
        return hints;
      })
      .toBeGreaterThan(1);
  });

  it('survives the loss of its connections', async () => {
    const redis = new URL(REDIS);
    const sockets = new Set<Socket>();
    const proxy = createServer((socket) => {
      const upstream = connect(Number(redis.port), redis.hostname);
      for (const each of [socket, upstream]) each.on('error', () => {});
      socket.pipe(upstream).pipe(socket);
      sockets.add(socket);
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const { port } = proxy.address() as AddressInfo;
    const cache = await open(`redis://127.0.0.1:${port}`);
    const roundTrip = (): Promise<Uint8Array | undefined> =>
      cache.set('minikms:test:b', Uint8Array.of(1), 60_000).then(() => cache.get('minikms:test:b'));
    await expect.poll(roundTrip).toBeDefined();
    for (const socket of sockets) socket.destroy();
    await expect.poll(roundTrip, { interval: 1 }).toBeUndefined();
    await expect.poll(roundTrip, { timeout: 5000 }).toBeDefined();
    await cache.close();
    proxy.close();
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
