import { readFileSync } from 'node:fs';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrate } from '../src/index.ts';
import { newEntries } from './audit-fixture.ts';
import { database, MIGRATIONS, type Database } from './fixture.ts';

interface Vector {
  readonly name: string;
  readonly seq: string;
  readonly timestamp_us: string;
  readonly action: string;
  readonly actor_id: string;
  readonly details: string;
  readonly details_repeated?: number;
  readonly tenant_id: string;
  readonly request_jwt_hash: string;
  readonly previous_hash: string;
  readonly entry_hash: string;
}

const { entries } = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/audit-chain.json', import.meta.url), 'utf8'),
) as { readonly entries: readonly Vector[] };
/** PostgreSQL's integers end at 2^63 - 1, and its texts hold no U+0000. */
const storable = entries.filter(({ seq, details }) => BigInt(seq) < 2n ** 63n && !details.includes('\0'));

let db: Database;

beforeAll(async () => {
  db = await database();
});
afterAll(() => db.drop());

describe('minikms_entry_hash', () => {
  it.each(storable)('is that of the specification: $name', async (one) => {
    const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
    const rows = await db.query('SELECT minikms_entry_hash($1, $2, $3, $4, $5, $6, $7, $8) AS hash', [
      bytes(one.previous_hash),
      one.timestamp_us,
      one.action,
      one.actor_id,
      one.details.repeat(one.details_repeated ?? 1),
      one.tenant_id,
      one.seq,
      bytes(one.request_jwt_hash),
    ]);
    expect(rows).toEqual([{ hash: bytes(one.entry_hash) }]);
  });

  it('was tried on most of the vectors', () => {
    expect(storable.length).toBeGreaterThanOrEqual(entries.length - 2);
  });
});

describe('kms_audit_log', () => {
  it.each([
    `UPDATE kms_audit_log SET details = ''`,
    'UPDATE kms_audit_log SET details = details WHERE false',
    'DELETE FROM kms_audit_log',
    'TRUNCATE kms_audit_log',
    'TRUNCATE kms_audit_log CASCADE',
    'INSERT INTO kms_audit_log SELECT * FROM kms_audit_log ON CONFLICT (tenant_id, seq) DO UPDATE SET seq = 2',
    'MERGE INTO kms_audit_log l USING kms_audit_log o ON l.seq = o.seq WHEN MATCHED THEN DELETE',
    'SET session_replication_role = replica; DELETE FROM kms_audit_log',
  ])('refuses its owner %s', async (statement) => {
    const store = await db.store();
    await store.audit.appendInTurn(newEntries('acme', 1), []);
    const before = await db.query('SELECT * FROM kms_audit_log');
    await expect(db.query(statement)).rejects.toMatchObject({
      code: '23001',
      message: 'kms_audit_log is append-only',
    });
    expect(await db.query('SELECT * FROM kms_audit_log')).toEqual(before);
  });

  it('is not made in a database that cannot hold every text', async () => {
    const name = `${new URL(db.url).pathname.slice(1)}_latin1`;
    await db.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'`);
    try {
      const url = new URL(db.url);
      url.pathname = `/${name}`;
      const refused = migrate(url.href, { directory: MIGRATIONS });
      await expect(refused).rejects.toMatchObject({
        code: 'STORE_MIGRATION_FAILED',
        cause: { message: 'the database must have the encoding UTF8' },
      });
    } finally {
      await db.query(`DROP DATABASE ${name}`);
    }
  });
});

describe('minikms_audit_append', () => {
  it('ends a log before the seq that a double does not tell from the next', async () => {
    const zeros = `decode(repeat('00', 32), 'hex')`;
    await db.query(`INSERT INTO audit_heads VALUES ('long', 9007199254740990, ${zeros})`);
    const append = `SELECT last FROM minikms_audit_append('long', '{1}', '{a}', '{""}', '{x}', '{""}')`;
    expect(await db.query(append)).toEqual([{ last: '9007199254740991' }]);
    await expect(db.query(append)).rejects.toMatchObject({ code: '23514' });
    await expect(
      db.query(`UPDATE audit_heads SET seq = 9007199254740992 WHERE tenant_id = 'long'`),
    ).rejects.toMatchObject({ code: '23514' });
  });

  it('takes its place in the transaction of another change', async () => {
    const client = new Client({ connectionString: db.url });
    await client.connect();
    const append = `SELECT first, last FROM minikms_audit_append('both', '{1,2}', '{a,b}', '{"",""}', '{x,y}', '{"",""}')`;
    await client.query('BEGIN');
    expect((await client.query(append)).rows).toEqual([{ first: '1', last: '2' }]);
    await client.query('ROLLBACK');
    expect(await db.query(`SELECT FROM audit_heads WHERE tenant_id = 'both'`)).toEqual([]);
    expect((await client.query(append)).rows).toEqual([{ first: '1', last: '2' }]);
    expect((await client.query(append)).rows).toEqual([{ first: '3', last: '4' }]);
    await client.end();
  });
});
