// The audit log as it stands in the database, and entries made up in the size of those that an Encrypt leaves.
import pg from 'pg';
import { type AuditEntry, entryHash, type NewEntry } from './product.ts';

/** How many entries a tenant has of calls that ended so. */
export async function entriesOf(dbUrl: string, tenantId: string, action: string): Promise<number> {
  const client = new pg.Client(dbUrl);
  await client.connect();
  try {
    const { rows } = await client.query<{ count: string }>(
      `SELECT count(*) FROM kms_audit_log
       WHERE tenant_id = $1 AND action = $2 AND details LIKE '{"outcome":"OK"%'`,
      [tenantId, action],
    );
    return Number(rows[0]?.count);
  } finally {
    await client.end();
  }
}

const NO_TOKEN = new Uint8Array(0);
const BEGAN_US = 1_700_000_000_000_000;

/** An entry as of an Encrypt. */
export function syntheticEntry(tenantId: string, seq: number): NewEntry {
  const request = `aGF6ZWxudXQ-${seq.toString(36)}`;
  return {
    tenantId,
    timestampUs: BEGAN_US + seq * 1000,
    action: 'kms.encrypt',
    actorId: 'operator',
    details:
      '{"outcome":"OK","scope":"hot","key_version":"0f8fad5b-d9cb-469f-a165-70867728950e","plaintext_bytes":256,' +
      `"aad_bytes":16,"request":"${request}","peer":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}`,
    requestJwtHash: NO_TOKEN,
  };
}

/** The same with its place in a log, and hashed. */
export function placed(entry: NewEntry, seq: number, previousHash: Uint8Array): AuditEntry {
  const unhashed = { ...entry, seq: BigInt(seq), timestampUs: BigInt(entry.timestampUs), previousHash };
  return { ...unhashed, entryHash: entryHash(unhashed) };
}
