import type { AuditStore } from '@minikms/audit-chain';
import type { Pool } from 'pg';
import { entryReader } from './audit-reader.ts';
import { subjects } from './audit-subjects.ts';
import { treeStore } from './audit-tree.ts';
import { entryWriter } from './audit-writer.ts';
import { run, type Statement } from './statement.ts';
import type { Turns } from './turns.ts';

/** Connections of the audit log: nobody who reads keys waits for a flush, and no flush for them. */
export interface AuditPools {
  /** For flushes, which wait for nobody. */
  readonly flushing: Pool;
  /** For who waits for a log that somebody else writes: a log that is held for seconds holds up no flush. */
  readonly waiting: Pool;
  /** For all else: the callers' own. */
  readonly shared: Pool;
}

/** The tables of the audit log as the ports of `@minikms/audit-chain`. `pages` of entries are read in turn. */
export function auditStore(pools: AuditPools, pages: Turns): AuditStore {
  return {
    ...entryWriter(pools.flushing, pools.waiting),
    ...entryReader(pools.shared, pages),
    ...treeStore(pools.shared, pools.waiting),
    ...subjects(pools.shared),
  };
}

const OWNER: Statement = {
  name: 'minikms_audit_owner',
  text: `
    SELECT pg_has_role(current_user, relowner, 'MEMBER') AS owner
    FROM pg_class WHERE oid = to_regclass('kms_audit_log')`,
};

/** True when the role owns `kms_audit_log`, may act as its owner, or is a superuser. */
export async function ownsAuditLog(pool: Pool): Promise<boolean> {
  const [found] = await run<{ owner: boolean }>(pool, OWNER);
  return found?.owner === true;
}
