import { randomBytes, randomInt } from 'node:crypto';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { redisCache } from '../src/cache.ts';
import { fakeRedis, healthy } from './cache-fake.ts';
import { PAYLOADS } from './cache-payloads.ts';

const payloads = Object.values(PAYLOADS).map((text) => Buffer.from(text, 'latin1'));

/** A payload with some bytes changed and cut off, or random bytes. */
function mutated(): Buffer {
  const bytes = randomInt(4) === 0 ? randomBytes(randomInt(200)) : Buffer.from(payloads[randomInt(payloads.length)]!);
  for (let i = randomInt(4); i > 0 && bytes.length > 0; i--) bytes[randomInt(bytes.length)] = randomInt(256);
  return bytes.subarray(0, randomInt(bytes.length + 1));
}

test('a minute of random answers to a hundred servers: misses only, in time, and it recovers', async () => {
  let bad = true;
  const redis = await fakeRedis((command, socket) => {
    if (!bad || randomInt(3) > 0) healthy(command, socket);
    if (bad && randomInt(3) === 0) socket.write(mutated());
    if (bad && randomInt(30) === 0) socket.destroy();
  });
  const caches = Array.from({ length: 100 }, () => redisCache(redis.url, pino({ level: 'silent' }), () => {}));
  const before = process.memoryUsage();
  for (const end = performance.now() + 60_000; performance.now() < end;) {
    await Promise.all(
      caches.map(async (cache) => {
        // A reply out of turn may be any bytes of the right type: its reader authenticates them.
        const value: unknown = await cache.get('minikms:test:a');
        if (value !== undefined) expect(value).toBeInstanceOf(Uint8Array);
        await cache.set('minikms:test:a', Uint8Array.of(1), 1000);
        cache.hint();
      }),
    );
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  bad = false;
  const { rss, arrayBuffers } = process.memoryUsage();
  expect(arrayBuffers - before.arrayBuffers).toBeLessThan(64 << 20);
  expect(rss - before.rss).toBeLessThan(512 << 20);
  await expect
    .poll(async () => (await Promise.all(caches.map((cache) => cache.get('a')))).filter((value) => value).length, {
      timeout: 20_000,
    })
    .toBe(caches.length);
  await Promise.all(caches.map((cache) => cache.close()));
  redis.close();
});
