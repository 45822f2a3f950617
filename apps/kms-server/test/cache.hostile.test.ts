import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { redisCache, type SharedCache } from '../src/cache.ts';
import { type FakeRedis, fakeRedis, healthy } from './cache-fake.ts';
import { PAYLOADS } from './cache-payloads.ts';

const NAME = 'minikms:test:a';
const opened: { close(): unknown }[] = [];
afterEach(() => Promise.all(opened.splice(0).map((each) => each.close())));

async function fake(...options: Parameters<typeof fakeRedis>): Promise<FakeRedis> {
  const redis = await fakeRedis(...options);
  opened.push(redis);
  return redis;
}

/** A cache, what it logged, and how often it was told that something changed. */
function open(url: string) {
  const seen = { lines: '', hints: 0 };
  const log = pino({ level: 'info' }, { write: (line: string) => void (seen.lines += line) });
  const cache = redisCache(url, log, () => seen.hints++);
  opened.push(cache);
  return { cache, seen };
}

const isReady = (cache: SharedCache): Promise<void> =>
  expect.poll(() => cache.get(NAME).then(textOf), { timeout: 15_000 }).toBe('value');

const textOf = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString();

async function timed<T>(work: Promise<T>): Promise<{ ms: number; value: T }> {
  const start = performance.now();
  const value = await work;
  return { ms: performance.now() - start, value };
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const MB = Buffer.alloc(1 << 20, ':1\r\n');

/** Sends as much as the other side takes, and counts it. */
function flood(socket: Socket, chunk: Buffer): { bytes: number } {
  const sent = { bytes: 0 };
  const more = (): void => {
    for (let i = 0; i < 400 && !socket.destroyed; i++) {
      sent.bytes += chunk.length;
      if (!socket.write(chunk)) return void socket.once('drain', more);
    }
  };
  more();
  return sent;
}

describe('a Redis that sends', () => {
  const cases: [string, (command: string[]) => boolean][] = [
    ['as the first reply', () => true],
    ['as the answer to a look-up', ([command]) => command === 'GET'],
    ['to a subscriber', ([command]) => command === 'SUBSCRIBE'],
  ];
  it.each(cases)('anything else %s causes misses only', async (_, isNow) => {
    const attack = async ([name, payload]: [string, string]): Promise<void> => {
      const bytes = Buffer.from(payload, 'latin1');
      let bad = true;
      const redis = await fake((command, socket) => {
        if (command[0] === 'SUBSCRIBE' || !bad || !isNow(command)) healthy(command, socket);
        if (bad && isNow(command)) socket.write(bytes);
      });
      const { cache } = open(redis.url);
      for (let i = 0; i < 10; i++) {
        expect([undefined, 'value'], name).toContain(textOf(await cache.get(NAME)));
        await cache.set(NAME, Uint8Array.of(1), 1000);
        await cache.delete(NAME);
        cache.hint();
        await pause(10);
      }
      expect(redis.commands.some(isNow), name).toBe(true);
      bad = false;
      await isReady(cache);
    };
    await Promise.all(Object.entries(PAYLOADS).map(attack));
  });

  it('389 MiB as a value, is cut off after a few', async () => {
    let sent = { bytes: 0 };
    const redis = await fake((command, socket) => {
      if (command[0] !== 'GET') return healthy(command, socket);
      socket.write('$408000000\r\n');
      sent = flood(socket, MB);
    });
    const { cache } = open(redis.url);
    await expect.poll(() => redis.commands.filter(([name]) => name === 'PING').length).toBe(2);
    await expect.poll(() => cache.get(NAME).then(() => sent.bytes)).toBeGreaterThan(0);
    await expect.poll(() => [...redis.open].length, { interval: 5 }).toBe(1);
    expect(sent.bytes).toBeLessThan(32 << 20);
  });

  it('messages without end, does not set the pace', async () => {
    const one = '*3\r\n$7\r\nmessage\r\n$15\r\nminikms:changed\r\n$0\r\n\r\n';
    const redis = await fake((command, socket) => {
      healthy(command, socket);
      if (command[0] === 'SUBSCRIBE') flood(socket, Buffer.from(one.repeat(10_000)));
    });
    const { cache, seen } = open(redis.url);
    await isReady(cache);
    await pause(1000);
    expect(seen.hints).toBeGreaterThan(0);
    expect(seen.hints).toBeLessThan(70);
    expect(textOf(await cache.get(NAME))).toBe('value');
  });

  it('one byte at a time, is understood', async () => {
    const redis = await fake((command, socket) => {
      if (command[0] !== 'GET') return healthy(command, socket);
      void (async () => {
        for (const byte of Buffer.from('$5\r\nvalue\r\n')) {
          socket.write(Uint8Array.of(byte));
          await pause(1);
        }
      })();
    });
    await isReady(open(redis.url).cache);
  });
});

describe('a Redis that', () => {
  const silentAt = (silent: string) =>
    fake((command, socket) => void (command[0] === silent || healthy(command, socket)));

  it('accepts and never answers is never waited for', async () => {
    const redis = await fake(() => {});
    const { cache, seen } = open(redis.url);
    await expect.poll(() => redis.commands.length).toBeGreaterThan(0);
    const { ms } = await timed(Promise.all(Array.from({ length: 10_000 }, () => cache.get(NAME))));
    expect(ms).toBeLessThan(100);
    await expect.poll(() => seen.lines, { timeout: 5000 }).toContain('connecting took too long');
  });

  it('stops answering is dropped after three timeouts, and then costs nothing for a second', async () => {
    const redis = await silentAt('GET');
    const { cache, seen } = open(redis.url);
    await expect.poll(() => seen.hints).toBe(1);
    await expect.poll(() => cache.get(NAME).then(() => redis.commands.some(([name]) => name === 'GET'))).toBe(true);
    for (let i = 0; i < 2; i++) expect((await timed(cache.get(NAME))).ms).toBeLessThan(90);
    await expect.poll(() => seen.lines).toContain('it does not answer in time');
    const { ms, value } = await timed(Promise.all(Array.from({ length: 1000 }, () => cache.get(NAME))));
    expect(value.every((each) => each === undefined)).toBe(true);
    expect(ms).toBeLessThan(40);
    const before = redis.connections;
    await pause(800);
    expect(redis.connections).toBe(before);
    redis.answer = healthy;
    await isReady(cache);
    expect(seen.lines).toContain('redis is back');
  });

  it('stops answering does not make commands pile up', async () => {
    const redis = await silentAt('GET');
    const { cache, seen } = open(redis.url);
    await expect.poll(() => seen.hints).toBe(1);
    await expect.poll(() => cache.set(NAME, Uint8Array.of(1), 1000).then(() => redis.commands.flat())).toContain('SET');
    const { ms } = await timed(Promise.all(Array.from({ length: 10_000 }, () => cache.get(NAME))));
    expect(ms).toBeLessThan(500);
    await pause(200);
    await cache.get(NAME);
    expect(redis.commands.filter(([name]) => name === 'GET').length).toBeLessThanOrEqual(1024);
    expect(seen.lines).toContain('it does not answer');
  });

  it('answers late is dropped', async () => {
    const redis = await fake((command, socket) => {
      if (command[0] === 'GET') setTimeout(() => healthy(command, socket), 75);
      else healthy(command, socket);
    });
    const { cache, seen } = open(redis.url);
    await expect
      .poll(() => cache.get(NAME).then(() => seen.lines), { interval: 1, timeout: 5000 })
      .toContain('it does not answer in time');
  });

  it('is healthy while this process stalls is not given up', async () => {
    const { cache, seen } = open((await fake()).url);
    await isReady(cache);
    for (let i = 0; i < 5; i++) {
      const value = cache.get(NAME);
      // The fake runs in this process too: what it is asked is on its way, then nothing runs for a while.
      await pause(5);
      const next = cache.get(NAME);
      for (const end = performance.now() + 70; performance.now() < end;);
      expect(textOf(await value)).toBe('value');
      await next;
    }
    expect(seen.lines).toBe('');
  });

  it('closes every connection is called at most once a second, and logged once', async () => {
    const redis = await fake((_, socket) => socket.destroy());
    const { seen } = open(redis.url);
    await pause(2500);
    expect(redis.connections).toBeLessThanOrEqual(4);
    expect(seen.lines.trim().split('\n')).toHaveLength(1);
  });

  it('is given no value that is too long', async () => {
    const redis = await fake();
    const { cache } = open(redis.url);
    await isReady(cache);
    await cache.set(NAME, new Uint8Array(4097), 1000);
    await cache.set(NAME, new Uint8Array(4096), 1000);
    expect(redis.commands.filter(([name]) => name === 'SET')).toHaveLength(1);
  });

  it('refuses the password is logged without what it says', async () => {
    const refusing = await fake((_, socket) => socket.write('-WRONGPASS hunter2 is not it\r\n'));
    const echoing = await fake((_, socket) => socket.write('-hunter2 hunter2\r\n'));
    for (const [redis, reason] of [
      [refusing, 'it refused AUTH: WRONGPASS"'],
      [echoing, 'it refused AUTH"'],
    ] as const) {
      const { seen } = open(redis.url.replace('//', '//:hunter2@'));
      await expect.poll(() => seen.lines).toContain(reason);
      expect(seen.lines).not.toContain('hunter2');
    }
  });
});

describe('the URL', () => {
  it.each([
    ['', [['PING']]],
    [':p%40ss@', [['AUTH', 'p@ss'], ['PING']]],
    ['user:100%@', [['AUTH', 'user', '100%'], ['PING']]],
  ])('redis://%shost logs in', async (login, expected) => {
    const redis = await fake();
    const { cache } = open(redis.url.replace('//', `//${login}`));
    await isReady(cache);
    expect(redis.commands).toEqual(expect.arrayContaining([...expected, ['SUBSCRIBE', 'minikms:changed']]));
    expect(redis.commands.filter(([name]) => name === 'AUTH')).toHaveLength(expected.length === 1 ? 0 : 2);
  });

  it('selects a database', async () => {
    const redis = await fake();
    await isReady(open(`${redis.url}/3`).cache);
    expect(redis.commands.filter(([name]) => name === 'SELECT')).toEqual([
      ['SELECT', '3'],
      ['SELECT', '3'],
    ]);
    expect(() => open(`${redis.url}/three`)).toThrow('the path of the Redis URL must be the number of a database');
  });

  it('rediss:// checks the certificate', async () => {
    const file = (name: string): string => readFileSync(join(import.meta.dirname, 'fixtures', name), 'utf8');
    const redis = await fake(healthy, { cert: file('server.pem'), key: file('server.key') });
    const url = `rediss://localhost:${redis.port}`;
    const { cache, seen } = open(url);
    await expect.poll(() => seen.lines, { timeout: 5000 }).toMatch(/UNABLE_TO|SELF_SIGNED/);
    expect(await cache.get(NAME)).toBeUndefined();
    expect(redis.commands).toEqual([]);
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, file('ca.pem')]);
    opened.push({ close: () => setDefaultCACertificates(before) });
    await isReady(cache);
  });
});
