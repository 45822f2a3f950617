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
import { run, type Statement } from './transaction.ts';

export interface StoreOptions {
  /** `postgresql://user:password@host:port/database?…`; `?schema=` names the schema, `public` by default. */
  readonly url: string;
  /** Connections at most; 10 by default. They are opened as they are needed and closed after a minute of idleness. */
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

const PING: Statement = { name: 'minikms_ping', text: `SELECT current_setting('transaction_read_only') AS "readOnly"` };

/**
 * Opens the database and asks it once whether it answers. Throws `STORE_UNAVAILABLE` within about 2 seconds when it is
 * down, and the driver's own error when it refuses the user or does not exist. It does not look at the schema: see
 * `pendingMigrations`.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const pool = openPool(options);
  // The pool stays ours: Prisma borrows from it and does not end it.
  const adapter = new PrismaPg(pool, { schema: target(options.url).schema });
  const prisma = new PrismaClient({ adapter, errorFormat: 'minimal' });
  const close = async (): Promise<void> => {
    await prisma.$disconnect();
    await pool.end();
  };
  try {
    await ping(pool);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    keys: keyStore(pool),
    roots: rootKeyRegistry(prisma),
    changes: changeLog(pool),
    installation: installation(prisma),
    ping: () => ping(pool),
    close,
  };
}

async function ping(pool: Pool): Promise<void> {
  const [answer] = await run<{ readOnly: string }>(pool, PING);
  // A standby, or a primary that was demoted under our connections.
  if (answer?.readOnly !== 'off') throw unavailable(new Error('the database takes no writes'));
}
