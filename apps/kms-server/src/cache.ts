import type { ByteCache } from '@minikms/key-hierarchy';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';

/** A cache for all servers, with a way to tell them that something changed. */
export interface SharedCache extends ByteCache {
  /** Tells the other servers to poll the change log. Never throws. */
  hint(): void;
  /** Closes the connections. Never throws. */
  close(): Promise<void>;
}

const HINTS = 'minikms:changed';
const TIMEOUT_MS = 50;

/**
 * Redis as a shared cache. Redis is a hint: while it is away every look-up is a miss, nothing waits for it longer than
 * 50 ms, and it is reconnected in the background.
 *
 * @param onHint called when another server says that something changed; at any time, for any reason, or never.
 */
export function redisCache(url: string, log: Logger, onHint: () => void): SharedCache {
  const options = {
    commandTimeout: TIMEOUT_MS,
    connectTimeout: 2000,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt: number): number => Math.min(attempt * 100, 2000),
  };
  const commands = new Redis(url, options);
  // A connection that subscribes can do nothing else; it may wait while Redis is away.
  const subscriber = new Redis(url, {
    ...options,
    commandTimeout: 5000,
    enableOfflineQueue: true,
    maxRetriesPerRequest: null,
  });
  let away = false;
  const onError = (error: Error): void => {
    if (!away) log.warn({ reason: error.message }, 'redis is away: running without the shared cache');
    away = true;
  };
  commands.on('error', onError);
  subscriber.on('error', onError);
  commands.on('ready', () => {
    if (away) log.info('redis is back');
    away = false;
  });
  subscriber.on('message', onHint);
  // A message may have been missed while the connection was lost.
  subscriber.on('ready', onHint);
  subscriber.subscribe(HINTS).catch(onError);

  const orMiss = async <T>(command: Promise<T>): Promise<T | undefined> => {
    try {
      return await command;
    } catch {
      return undefined;
    }
  };
  return {
    get: async (name) => (await orMiss(commands.getBuffer(name))) ?? undefined,
    set: async (name, value, ttlMs) => {
      await orMiss(commands.set(name, Buffer.from(value), 'PX', ttlMs));
    },
    delete: async (name) => {
      await orMiss(commands.del(name));
    },
    hint: () => void orMiss(commands.publish(HINTS, '')),
    close: async () => {
      commands.disconnect();
      subscriber.disconnect();
    },
  };
}
