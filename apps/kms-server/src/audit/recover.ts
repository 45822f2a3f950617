import { AuditError, formatOrigin, treeAt } from '@minikms/audit-chain';
import { equal } from '@minikms/crypto-core';
import { SYSTEM } from '../rpc/audit.ts';
import type { ServerAudit } from './audit-log.ts';

/**
 * Begins a new epoch for each log that is behind a checkpoint that was handed out, or contradicts it; with `tenantId` for
 * that log, whatever is known of it. The first entry of an epoch names the origin that ended, and what was signed for.
 *
 * @param tell of what was done, a line for each log.
 * @returns how many epochs were begun.
 */
export async function recoverLogs(
  audit: Pick<ServerAudit, 'name' | 'published' | 'store' | 'trail'>,
  tenantId: string | undefined,
  tell: (line: string) => void,
): Promise<number> {
  let begun = 0;
  const logs = new Set(tenantId === undefined ? [] : [tenantId]);
  if (tenantId === undefined)
    for await (const kept of audit.published.all()) if (await isLost(audit, kept.tenantId)) logs.add(kept.tenantId);
  for (const log of logs) {
    const known = await audit.published.highest(log);
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
    begun++;
    tell(
      `${log === SYSTEM ? 'the log of the installation' : `the log of ${log}`} goes on as epoch ${last + 1} after entry ${head?.seq ?? 0}; ${
        known === undefined ? 'nothing is known of what was signed' : `${known.size} entries were signed for`
      }\n`,
    );
  }
  return begun;
}

async function isLost(
  { published, store }: Pick<ServerAudit, 'published' | 'store'>,
  tenantId: string,
): Promise<boolean> {
  const known = await published.highest(tenantId);
  if (known === undefined) return false;
  const head = await store.head(tenantId);
  if (head === undefined || head.epoch < known.epoch) return true;
  if (head.epoch > known.epoch) return false;
  return head.seq < known.size || !equal((await treeAt(store, tenantId, known.size)).root(), known.root);
}
