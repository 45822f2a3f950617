import type { GrownLog, StoredCheckpoint, StoredNode, TreeStore } from '@minikms/audit-chain';
import type { Pool } from 'pg';
import { bigints, byteas, integers } from './array-parameter.ts';
import { hashesOf } from './audit-reader.ts';
import { OPEN_EPOCH } from './audit-statements.ts';
import { entryColumns, headOf, type StoredHead } from './audit-writer.ts';
import { run, type Statement } from './statement.ts';

/** $1 tenant, $2 level, $3 from, $4 to. */
const NODES: Statement = {
  name: 'minikms_tree_nodes',
  text: `
    SELECT coalesce(string_agg(hash, '' ORDER BY index), '') AS hashes
    FROM audit_tree WHERE tenant_id = $1 AND level = $2::smallint AND index BETWEEN $3::bigint AND $4::bigint`,
};

/** $1 tenant. */
const CHECKPOINT: Statement = {
  name: 'minikms_checkpoint',
  text: `
    SELECT epoch, size, root, note FROM audit_checkpoints WHERE tenant_id = $1 ORDER BY epoch DESC LIMIT 1`,
};

/** $1 tenant, $2 epoch, $3 size, $4 root, $5 note; $6 levels, $7 indexes, $8 hashes; $9 whether it is reported. */
const SAVE: Statement = {
  name: 'minikms_save_checkpoint',
  text: `
    WITH saved AS (
      INSERT INTO audit_checkpoints AS c (tenant_id, epoch, size, root, note, reported)
      SELECT $1, $2::integer, $3::bigint, $4::bytea, $5, CASE WHEN $9::boolean THEN $3::bigint ELSE 0 END
      WHERE NOT EXISTS (SELECT FROM audit_checkpoints WHERE tenant_id = $1 AND epoch > $2::integer)
      ON CONFLICT (tenant_id, epoch) DO UPDATE
        SET size = EXCLUDED.size, root = EXCLUDED.root, note = EXCLUDED.note, updated_at = now(),
            reported = greatest(c.reported, EXCLUDED.reported)
        WHERE c.size < EXCLUDED.size OR (c.size = EXCLUDED.size AND c.root = EXCLUDED.root)
      RETURNING tenant_id
    ), stored AS (
      INSERT INTO audit_tree (tenant_id, level, index, hash)
      SELECT saved.tenant_id, n.level, n.index, n.hash
      FROM unnest($6::integer[], $7::bigint[], $8::bytea[]) AS n (level, index, hash) CROSS JOIN saved
      ORDER BY n.level, n.index
      ON CONFLICT DO NOTHING
    )
    SELECT EXISTS (SELECT FROM saved) AS saved`,
};

/** $1 after, $2 rows at most. The columns collate as bytes. */
const GROWN: Statement = {
  name: 'minikms_grown_logs',
  text: `
    SELECT h.tenant_id AS "tenantId", h.seq, h.hash, h.epoch
    FROM audit_heads h
    LEFT JOIN audit_checkpoints c ON c.tenant_id = h.tenant_id AND c.epoch = h.epoch
    WHERE h.tenant_id > $1 AND h.seq > coalesce(c.reported, 0)
    ORDER BY h.tenant_id LIMIT $2`,
};

/**
 * $1 milliseconds. Who waited for another's claim looks again, at its time and at the clock. A claim of the future was
 * made by a clock that has been put back since: nobody waits for that.
 */
const CLAIM: Statement = {
  name: 'minikms_claim_interval',
  text: `
    UPDATE audit_schedule
    SET claimed_at = clock_timestamp(),
        due_at = clock_timestamp() + $1::double precision * interval '1 millisecond'
    WHERE due_at <= clock_timestamp() OR claimed_at > clock_timestamp()
    RETURNING id`,
};

type Stored = Omit<StoredCheckpoint, 'tenantId' | 'size'> & { readonly size: string };

/** The tables `audit_tree`, `audit_checkpoints` and `audit_schedule`; new epochs wait for their log over `waiting`. */
export function treeStore(pool: Pool, waiting: Pool): TreeStore {
  return {
    nodes: async (tenantId, level, from, to) => {
      const [row] = await run<{ hashes: Uint8Array }>(pool, NODES, [tenantId, level, from, to]);
      return row ? hashesOf(row.hashes) : [];
    },
    checkpoint: async (tenantId) => {
      const [stored] = await run<Stored>(pool, CHECKPOINT, [tenantId]);
      return stored && { ...stored, tenantId, size: Number(stored.size), root: new Uint8Array(stored.root) };
    },
    saveCheckpoint: (checkpoint, nodes, reported = true) => saveCheckpoint(pool, checkpoint, nodes, reported),
    grown: async (after, limit) => {
      const rows = await run<StoredHead & { tenantId: string }>(pool, GROWN, [after, limit]);
      return rows.map(({ tenantId, ...head }): GrownLog => ({ tenantId, head: headOf(head) }));
    },
    claimInterval: async (intervalMs) => {
      const claimed = await run(pool, CLAIM, [intervalMs]);
      return claimed.length > 0;
    },
    openEpoch: async (epoch, entry) => {
      const [head] = await run<StoredHead>(waiting, OPEN_EPOCH, [...entryColumns([entry]), epoch]);
      return head && headOf(head);
    },
  };
}

async function saveCheckpoint(
  pool: Pool,
  { tenantId, epoch, size, root, note }: StoredCheckpoint,
  nodes: readonly StoredNode[],
  reported: boolean,
): Promise<boolean> {
  const [row] = await run<{ saved: boolean }>(pool, SAVE, [
    tenantId,
    epoch,
    size,
    root,
    note,
    integers(nodes.map((node) => node.level)),
    bigints(nodes.map((node) => node.index)),
    byteas(nodes.map((node) => node.hash)),
    reported,
  ]);
  return row?.saved === true;
}
