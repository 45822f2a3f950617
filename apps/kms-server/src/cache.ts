import type { ByteCache } from '@minikms/key-hierarchy';
import type { Logger } from 'pino';
import { redisAddress } from './redis/address.ts';
import { RedisConnection } from './redis/connection.ts';
import { MAX_VALUE_BYTES } from './redis/resp.ts';

/** A cache for all servers, with a way to tell them that something changed. */
export interface SharedCache extends ByteCache {
  /** Tells the other servers to poll the change log. Never throws. */
  hint(): void;
  /** Closes the connections. Never throws. */
  close(): Promise<void>;
}

const HINTS = 'minikms:changed';

/**
 * Redis as a shared cache. Redis is a hint and not trusted: while it is away or misbehaves every look-up is a miss,
 * nothing waits for it longer than 50 ms, and it is reconnected in the background.
 *
 * @param onHint called when another server says that something changed; at any time, for any reason, or never.
 */
export function redisCache(url: string, log: Logger, onHint: () => void): SharedCache {
  const address = redisAddress(url);
  let away = false;
  const onLost = (reason: string): void => {
    if (!away) log.warn({ reason }, 'redis is away: running without the shared cache');
    away = true;
  };
  const onReady = (): void => {
    if (!commands.ready || !subscriber.ready) return;
    if (away) log.info('redis is back');
    away = false;
  };
  const commands = new RedisConnection({ address, onLost, onReady });
  // A connection that subscribes can do nothing else.
  const subscriber = new RedisConnection({
    address,
    channel: HINTS,
    onMessages: onHint,
    onLost,
    onReady: () => {
      onReady();
      // A message may have been missed while the connection was lost.
      onHint();
    },
  });
  return {
    get: async (name) => {
      const value = await commands.command('value', 'GET', name);
      // A copy: the value must not keep all that was received with it.
      return Buffer.isBuffer(value) ? new Uint8Array(value) : undefined;
    },
    set: async (name, value, ttlMs) => {
      if (value.length <= MAX_VALUE_BYTES) await commands.command('status', 'SET', name, value, 'PX', String(ttlMs));
    },
    delete: async (name) => {
      await commands.command('number', 'DEL', name);
    },
    hint: () => void commands.command('number', 'PUBLISH', HINTS, ''),
    close: async () => {
      commands.close();
      subscriber.close();
    },
  };
}
