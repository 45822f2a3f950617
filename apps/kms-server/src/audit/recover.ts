import { AuditError, type AuditStore, formatOrigin, type KnownCheckpoint, treeAt } from '@minikms/audit-chain';
import { equal } from '@minikms/crypto-core';
import { SYSTEM } from '../rpc/audit.ts';
import type { ServerAudit } from './audit-log.ts';
import { isAbove } from './published.ts';

/**
 * Begins a new epoch for each log that is behind a checkpoint that was handed out, or contradicts it; with `tenantId` for
 * that log, whatever is known of it. The first entry of an epoch names the origin that ended, and what was signed for; and
 * the log of the installation gets an entry for each, after all of them were begun: it may be one of them.
 *
 * @param tell of what was done, a line for each log.
 * @returns how many epochs were begun.
 */
export async function recoverLogs(
  audit: Pick<ServerAudit, 'name' | 'published' | 'store' | 'system' | 'trail'>,
  tenantId: string | undefined,
  tell: (line: string) => void,
): Promise<number> {
  const begun: { readonly tenant: string; readonly epoch: number }[] = [];
  for (const log of tenantId === undefined ? await lostLogs(audit) : [tenantId]) {
    const known = higher(await allKnown(audit, log));
    const head = await audit.store.head(log);
    if (known === undefined && head === undefined)
      throw new AuditError('ENTRY_NOT_FOUND', 'there is no audit log of this tenant');
    const last = Math.max(known?.epoch ?? 1, head?.epoch ?? 1);
    const entry = audit.trail.systemEntry(
      'audit.epoch',
      JSON.stringify({
        outcome: 'OK',
        epoch: last + 1,
        previous_origin: formatOrigin({ log: audit.name, tenantId: log, epoch: last }),
        entries: head?.seq ?? 0,
        ...(known && { signed_size: known.size, signed_root: Buffer.from(known.root).toString('base64') }),
      }),
    );
    const begunAt = await audit.store.openEpoch(last + 1, { ...entry, tenantId: log });
    if (begunAt === undefined) continue;
    begun.push({ tenant: log, epoch: last + 1 });
    tell(
      `${log === SYSTEM ? 'the log of the installation' : `the log of ${log}`} goes on as epoch ${last + 1} after entry ${head?.seq ?? 0}; ${
        known === undefined ? 'nothing is known of what was signed' : `${known.size} entries were signed for`
      }\n`,
    );
  }
  await writeDown(audit, begun, tell);
  if (begun.length === 0 && tenantId === undefined)
    tell('of a log that no checkpoint is known of, name the tenant: kms-server audit recover TENANT\n');
  return begun.length;
}

/** Of those that a checkpoint is known of, and of the log of the installation. */
async function lostLogs(audit: Pick<ServerAudit, 'published' | 'store'>): Promise<readonly string[]> {
  const lost: string[] = [];
  const known = [...audit.published.all()].map(({ tenantId }) => tenantId);
  for (const tenantId of new Set([...known, SYSTEM])) if (await isLost(audit, tenantId)) lost.push(tenantId);
  return lost;
}

async function isLost(audit: Pick<ServerAudit, 'published' | 'store'>, tenantId: string): Promise<boolean> {
  // Each of them: one in the database may be larger, and fit a log that was rewritten, which the one outside does not.
  for (const known of await allKnown(audit, tenantId)) if (await contradicts(audit.store, tenantId, known)) return true;
  return false;
}

async function contradicts(store: AuditStore, tenantId: string, known: KnownCheckpoint): Promise<boolean> {
  const head = await store.head(tenantId);
  if (head === undefined || head.epoch < known.epoch) return true;
  if (head.epoch > known.epoch) return false;
  if (head.seq < known.size) return true;
  try {
    return !equal((await treeAt(store, tenantId, known.size)).root(), known.root);
  } catch (error) {
    // Entries are missing, or nodes that were signed for: no tree of this size can be made of what is there.
    if (error instanceof AuditError) return true;
    throw error;
  }
}

/** What is known outside of the database, and what it holds itself when it is signed. */
async function allKnown(
  { published, store }: Pick<ServerAudit, 'published' | 'store'>,
  tenantId: string,
): Promise<readonly KnownCheckpoint[]> {
  const outside = await published.highest(tenantId);
  const known = outside === undefined ? [] : [outside];
  const stored = await store.checkpoint(tenantId);
  if (stored === undefined) return known;
  try {
    return [...known, published.open(tenantId, stored.note)];
  } catch (error) {
    if (error instanceof AuditError) return known;
    throw error;
  }
}

function higher(known: readonly KnownCheckpoint[]): KnownCheckpoint | undefined {
  const [one, other] = known;
  return one !== undefined && other !== undefined && isAbove(other, one) ? other : one;
}

async function writeDown(
  audit: Pick<ServerAudit, 'system'>,
  begun: readonly Readonly<Record<string, unknown>>[],
  tell: (line: string) => void,
): Promise<void> {
  try {
    for (const facts of begun) await audit.system('audit.recover', facts);
  } catch (error) {
    // One tenant was named, and the log of the installation is lost too. The epoch of that tenant has begun all the same.
    if (!(error instanceof AuditError && error.code === 'AUDIT_LOG_BEHIND')) throw error;
    tell('the log of the installation is behind too: run kms-server audit recover\n');
  }
}
