import type { Subject, Subjects } from '@minikms/audit-chain';
import type { Pool } from 'pg';
import { run, type Statement } from './statement.ts';

/** $1 tenant, $2 id. */
const FIND: Statement = {
  name: 'minikms_find_subject',
  text: `
    SELECT id, tenant_id AS "tenantId", kind, salt, label FROM audit_subjects WHERE tenant_id = $1 AND id = $2`,
};

/** $1 tenant or null, $2 label. */
const ERASE: Statement = {
  name: 'minikms_erase_subjects',
  text: `
    WITH erased AS (
      DELETE FROM audit_subjects WHERE label = $2 AND ($1::text IS NULL OR tenant_id = $1) RETURNING id)
    SELECT count(*) AS count FROM erased`,
};

/** The `audit_subjects` table. */
export function subjects(pool: Pool): Subjects {
  return {
    find: async (tenantId, id) => {
      const [stored] = await run<Subject>(pool, FIND, [tenantId, id]);
      return stored && { ...stored, salt: new Uint8Array(stored.salt) };
    },
    erase: async (tenantId, label) => {
      const [row] = await run<{ count: string }>(pool, ERASE, [tenantId, label]);
      return Number(row?.count);
    },
  };
}
