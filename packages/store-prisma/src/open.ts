import type { AuditStore, Head } from '@minikms/audit-chain';
import type { ChangeEntry, KeyStore, RootKeyRegistry, ServerKeyStore } from '@minikms/key-hierarchy';
import { PrismaPg } from '@prisma/adapter-pg';
import type { Pool } from 'pg';
import { auditStore, ownsAuditLog } from './audit.ts';
import { changeLog, type ChangeLog } from './changes.ts';
import { target } from './connection.ts';
import { StoreError, unavailable } from './failure.ts';
import { PrismaClient } from './gen/client.ts';
import { installation, type Installation } from './installation.ts';
import { keyStore } from './keys.ts';
import { openPool } from './pool.ts';
import { rootKeyRegistry } from './roots.ts';
import { serverKeyStore } from './server-keys.ts';
import { run, type Statement } from './statement.ts';
import { turns } from './turns.ts';

export interface StoreOptions {
  /** `postgresql://user:password@host:port/database?…`; `?schema=` names the schema, `public` by default. */
  readonly url: string;
  /**
   * Connections at most, 2 or more; 10 by default. They are opened as they are needed and closed after a minute of
   * idleness. One is kept for `changes.since` and `ping`; successions, and pages of audit entries, take a third of them
   * at most. Writing the audit log takes up to five more, of its own.
   */
  readonly maxConnections?: number;
  /** Told of connections lost while nobody used them, for the log. Nothing has to be done: the pool opens others. */
  readonly onError?: (error: Error) => void;
  /** Told of each entry that a change of keys wrote, and where its log ends since. Must not throw. */
  readonly onAppend?: (entry: ChangeEntry, head: Head) => void;
}

/** The ports of the domains on one database. All of it throws `STORE_UNAVAILABLE` during an outage, and recovers. */
export interface Store {
  readonly keys: KeyStore;
  readonly roots: RootKeyRegistry;
  readonly serverKeys: ServerKeyStore;
  readonly changes: ChangeLog;
  readonly installation: Installation;
  /** On connections of its own: neither does a flush wait for those who read keys, nor they for it. */
  readonly audit: AuditStore;
  /**
   * True when the connected role owns `kms_audit_log`, may become its owner, or is a superuser: whoever has its
   * credentials can take the log's guard away. Throws `STORE_UNAVAILABLE`.
   */
  ownsAuditLog(): Promise<boolean>;
  /**
   * Returns when the database answers and takes writes that last; throws `STORE_UNAVAILABLE` otherwise, within 8
   * seconds, or `STORE_NOT_DURABLE`.
   */
  ping(): Promise<void>;
  /** Waits for what is under way, then closes every connection. Nothing may be called after it. */
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 10;
/** Connections for flushes of the audit log: logs that go on, and logs that begin. */
const FLUSHING = 2;
/** Connections for appends that wait for their log. */
const WAITING = 3;

const PING: Statement = {
  name: 'minikms_ping',
  text: `
    SELECT current_setting('transaction_read_only') AS "readOnly",
           current_setting('synchronous_commit') IN ('on', 'remote_apply', 'remote_write') AS durable`,
};

/**
 * Opens the database and asks it once whether it answers. Throws `STORE_UNAVAILABLE` within about 2 seconds when it is
 * down, `STORE_NOT_DURABLE` when it would not keep what was answered, and the driver's own error when it refuses the
 * user or does not exist. It does not look at the schema: see `pendingMigrations`.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const max = options.maxConnections ?? MAX_CONNECTIONS;
  if (max < 2) throw new RangeError('a store needs two connections at least');
  const pool = openPool({ ...options, maxConnections: max - 1 });
  // Caches are trusted while the change log is polled in time: no crowd of callers may stand in front of that.
  const own = openPool({ ...options, maxConnections: 1 });
  // One plan whatever the lengths of the arrays, and no planning at a flush.
  const settings = ['plan_cache_mode=force_generic_plan'];
  const flushing = openPool({ ...options, maxConnections: FLUSHING, settings });
  const waiting = openPool({ ...options, maxConnections: WAITING });
  // The pool stays ours: Prisma borrows from it and does not end it.
  const adapter = new PrismaPg(pool, { schema: target(options.url).schema });
  const prisma = new PrismaClient({ adapter, errorFormat: 'minimal' });
  const close = async (): Promise<void> => {
    await prisma.$disconnect();
    await Promise.all([pool, own, flushing, waiting].map((each) => each.end()));
  };
  try {
    await ping(own);
  } catch (error) {
    await close();
    throw error;
  }
  const third = Math.max(1, Math.floor(max / 3));
  return {
    keys: keyStore(pool, third, options.onAppend),
    roots: rootKeyRegistry(prisma),
    serverKeys: serverKeyStore(pool),
    changes: changeLog(pool, own),
    installation: installation(prisma),
    audit: auditStore({ flushing, waiting, shared: pool }, turns(third)),
    ownsAuditLog: () => ownsAuditLog(pool),
    ping: () => ping(own),
    close,
  };
}

async function ping(pool: Pool): Promise<void> {
  const [answer] = await run<{ readOnly: string; durable: boolean }>(pool, PING);
  // A standby, or a primary that was demoted under our connections.
  if (answer?.readOnly !== 'off') throw unavailable(new Error('the database takes no writes'));
  if (answer.durable) return;
  throw new StoreError(
    'STORE_NOT_DURABLE',
    'synchronous_commit does not wait for the disk: take it out of the options in the database URL, or, where a pooler ' +
      `drops the options of sessions, ALTER ROLE … SET synchronous_commit = 'on'`,
  );
}
