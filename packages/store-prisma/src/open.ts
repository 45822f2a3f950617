import type { KeyStore, RootKeyRegistry } from '@minikms/key-hierarchy';
import { PrismaPg } from '@prisma/adapter-pg';
import type { Pool } from 'pg';
import { changeLog, type ChangeLog } from './changes.ts';
import { target } from './connection.ts';
import { unavailable } from './failure.ts';
import { PrismaClient } from './gen/client.ts';
import { installation, type Installation } from './installation.ts';
import { keyStore } from './keys.ts';
import { openPool } from './pool.ts';
import { rootKeyRegistry } from './roots.ts';
import { run, type Statement } from './statement.ts';

export interface StoreOptions {
  /** `postgresql://user:password@host:port/database?…`; `?schema=` names the schema, `public` by default. */
  readonly url: string;
  /**
   * Connections at most, 2 or more; 10 by default. They are opened as they are needed and closed after a minute of
   * idleness. One is kept for `changes.since` and `ping`, and successions take a third of them at most.
   */
  readonly maxConnections?: number;
  /** Told of connections lost while nobody used them, for the log. Nothing has to be done: the pool opens others. */
  readonly onError?: (error: Error) => void;
}

/** The ports of the domains on one database. All of it throws `STORE_UNAVAILABLE` during an outage, and recovers. */
export interface Store {
  readonly keys: KeyStore;
  readonly roots: RootKeyRegistry;
  readonly changes: ChangeLog;
  readonly installation: Installation;
  /** Returns when the database answers and takes writes; throws `STORE_UNAVAILABLE` otherwise, within 8 seconds. */
  ping(): Promise<void>;
  /** Waits for what is under way, then closes every connection. Nothing may be called after it. */
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 10;

const PING: Statement = { name: 'minikms_ping', text: `SELECT current_setting('transaction_read_only') AS "readOnly"` };

/**
 * Opens the database and asks it once whether it answers. Throws `STORE_UNAVAILABLE` within about 2 seconds when it is
 * down, and the driver's own error when it refuses the user or does not exist. It does not look at the schema: see
 * `pendingMigrations`.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const max = options.maxConnections ?? MAX_CONNECTIONS;
  if (max < 2) throw new RangeError('a store needs two connections at least');
  const pool = openPool({ ...options, maxConnections: max - 1 });
  // Caches are trusted while the change log is polled in time: no crowd of callers may stand in front of that.
  const own = openPool({ ...options, maxConnections: 1 });
  // The pool stays ours: Prisma borrows from it and does not end it.
  const adapter = new PrismaPg(pool, { schema: target(options.url).schema });
  const prisma = new PrismaClient({ adapter, errorFormat: 'minimal' });
  const close = async (): Promise<void> => {
    await prisma.$disconnect();
    await Promise.all([pool.end(), own.end()]);
  };
  try {
    await ping(own);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    keys: keyStore(pool, Math.max(1, Math.floor(max / 3))),
    roots: rootKeyRegistry(prisma),
    changes: changeLog(pool, own),
    installation: installation(prisma),
    ping: () => ping(own),
    close,
  };
}

async function ping(pool: Pool): Promise<void> {
  const [answer] = await run<{ readOnly: string }>(pool, PING);
  // A standby, or a primary that was demoted under our connections.
  if (answer?.readOnly !== 'off') throw unavailable(new Error('the database takes no writes'));
}
