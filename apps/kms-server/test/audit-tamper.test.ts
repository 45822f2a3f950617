import { randomBytes } from 'node:crypto';
import { openCheckpoint, parseVerifierKey, signCheckpoint } from '@minikms/audit-chain';
import { SecretBytes, Signer } from '@minikms/crypto-core';
import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, caller, type Desk, desk, ok, type Superuser, superuser } from './audit-calls.ts';
import { serve, type TestServer } from './server.ts';

let database: Awaited<ReturnType<typeof testDatabase>>;
let server: TestServer;
let db: Superuser;
let api: Caller;
let auditor: Desk;

beforeAll(async () => {
  auditor = await desk();
  database = await testDatabase();
  await start();
});
afterAll(async () => {
  await stop();
  await database.drop();
  auditor.remove();
});

async function start(): Promise<void> {
  server = await serve({ MINIKMS_DB_URL: database.url });
  db = await superuser(database.url);
  // The server signs when it is asked to, and not between.
  await db.query("UPDATE audit_schedule SET due_at = 'infinity'");
  api = caller(server.port);
}

async function stop(): Promise<void> {
  api.close();
  await server.stop();
  await db.end();
}

/** Entries that the auditor's checkpoint covers: a key, ten uses. */
const COVERED = 11;
/** With the entry of GetCheckpoint, and four uses more. */
const ALL = 16;

interface Kept {
  /** The checkpoint and the key that the auditor has from earlier. */
  readonly old: string;
  readonly key: string;
}

async function fill(tenantId: string): Promise<Kept> {
  const use = () => ok(api.encrypt({ tenantId, scopeId: 'app', plaintext: Buffer.from('x') }));
  for (let i = 0; i < 10; i++) await use();
  const { checkpoint, size, verifierKey } = await ok(api.getCheckpoint({ orgId: tenantId }));
  expect(size).toBe(BigInt(COVERED));
  for (let i = 0; i < 4; i++) await use();
  expect(await db.rows(tenantId)).toHaveLength(ALL);
  return { old: checkpoint, key: verifierKey };
}

const at = (seq: number, change: string): string =>
  `UPDATE kms_audit_log SET ${change} WHERE tenant_id = T AND seq = ${seq}`;
const gone = (which: string): string => `DELETE FROM kms_audit_log WHERE tenant_id = T AND ${which}`;
/** Entries from `seq` on, each by so many places. */
const shift = (seq: number, by: number): string =>
  `UPDATE kms_audit_log SET seq = seq + 1000 WHERE tenant_id = T AND seq >= ${seq};
   UPDATE kms_audit_log SET seq = seq - 1000 + ${by} WHERE tenant_id = T AND seq >= 1000;
   UPDATE audit_heads SET seq = seq + ${by} WHERE tenant_id = T`;
const copy = (seq: number, to: number): string =>
  `INSERT INTO kms_audit_log SELECT tenant_id, ${to}, timestamp_us, action, actor_id, details, request_jwt_hash,
   previous_hash, entry_hash FROM kms_audit_log WHERE tenant_id = T AND seq = ${seq}`;
/** The hashes of all entries from `seq` on, and the head, as if they had always been so. */
const rehash = (seq: number): string => `
  DO $$ DECLARE e kms_audit_log; previous bytea; BEGIN
    SELECT previous_hash INTO previous FROM kms_audit_log WHERE tenant_id = T AND seq = ${seq};
    FOR e IN SELECT * FROM kms_audit_log WHERE tenant_id = T AND seq >= ${seq} ORDER BY seq LOOP
      UPDATE kms_audit_log SET previous_hash = previous, entry_hash = minikms_entry_hash(previous, e.timestamp_us,
        e.action, e.actor_id, e.details, T, e.seq, e.request_jwt_hash)
      WHERE tenant_id = T AND seq = e.seq RETURNING entry_hash INTO previous;
    END LOOP;
    UPDATE audit_heads SET hash = previous, seq = (SELECT max(seq) FROM kms_audit_log WHERE tenant_id = T)
    WHERE tenant_id = T;
  END $$`;
const SIGNATURES = `DELETE FROM audit_checkpoints WHERE tenant_id = T; DELETE FROM audit_tree WHERE tenant_id = T`;
const HEAD_TO_8 = `UPDATE audit_heads SET (seq, hash) =
  (SELECT seq, entry_hash FROM kms_audit_log WHERE tenant_id = T AND seq = 8) WHERE tenant_id = T`;

interface Case {
  readonly does: string;
  readonly sql: string;
  /** What the auditor's command says, with the older checkpoint. */
  readonly auditor: string;
  /** What VerifyChain says; without, the server stops at once. */
  readonly server?: string;
  /** The server has the tree of what is older: it goes on to sign what was there. */
  readonly signs?: true;
}
const edited = (does: string, seq: number, change: string): Case => ({
  does,
  sql: at(seq, change),
  auditor: `HASH_MISMATCH, entry ${seq},`,
  server: `HASH_MISMATCH ${seq}`,
  signs: true,
});

const cases: readonly Case[] = [
  edited('an entry is edited', 5, "details = replace(details, 'OK', 'NO')"),
  edited('the first entry is edited', 1, "details = replace(details, 'OK', 'NO')"),
  edited('the newest entry is edited', ALL, "details = replace(details, 'OK', 'NO')"),
  edited('a byte moves from one field to the next', 6, "action = 'kms.encryp', actor_id = 't' || actor_id"),
  edited('a timestamp changes', 7, 'timestamp_us = timestamp_us + 1'),
  edited('the hash of a token changes', 8, "request_jwt_hash = sha256('x')"),
  {
    does: 'an entry is edited and hashed again',
    sql: `${at(9, "details = '{}'")}; ${at(9, 'entry_hash = minikms_entry_hash(previous_hash, timestamp_us, action, actor_id, details, tenant_id, seq, request_jwt_hash)')}`,
    auditor: 'LINK_BROKEN, entries 9 to 10,',
    server: 'LINK_BROKEN 9',
    signs: true,
  },
  {
    does: 'an entry is inserted',
    sql: `${shift(6, 1)}; ${copy(5, 6)}; ${at(6, "details = '{}', previous_hash = entry_hash")};
      ${at(6, 'entry_hash = minikms_entry_hash(previous_hash, timestamp_us, action, actor_id, details, tenant_id, seq, request_jwt_hash)')}`,
    auditor: 'LINK_BROKEN, entries 6 to 7,',
  },
  { does: 'an entry is deleted', sql: gone('seq = 7'), auditor: 'SEQ_GAP, entry 7,', server: 'SEQ_GAP 7', signs: true },
  {
    does: 'an entry is deleted and the rest closes up',
    sql: `${gone('seq = 7')}; ${shift(8, -1)}`,
    auditor: 'LINK_BROKEN, entries 6 to 7,',
  },
  {
    does: 'two entries are swapped',
    sql: `${at(5, 'seq = 999')}; ${at(6, 'seq = 5')}; ${at(999, 'seq = 6')}`,
    auditor: 'LINK_BROKEN, entries 4 to 5,',
    server: 'LINK_BROKEN 4',
    signs: true,
  },
  {
    does: 'an entry is duplicated',
    sql: `${shift(9, 1)}; ${copy(8, 9)}`,
    auditor: 'LINK_BROKEN, entries 8 to 9,',
  },
  { does: 'a seq changes', sql: at(7, 'seq = 99'), auditor: 'SEQ_GAP, entry 7,', server: 'SEQ_GAP 7', signs: true },
  {
    does: 'an entry moves to another tenant',
    sql: at(7, "tenant_id = T || '-moved'"),
    auditor: 'TENANT_CHANGED, entry 7,',
    server: 'SEQ_GAP 7',
    signs: true,
  },
  {
    does: 'the tail is cut off',
    sql: gone('seq > 8'),
    auditor: 'LOG_TRUNCATED, entries 9 to 11',
    server: 'LOG_TRUNCATED 9',
  },
  {
    does: 'the tail is cut off with the head',
    sql: `${gone('seq > 8')}; ${HEAD_TO_8}`,
    auditor: 'LOG_TRUNCATED, entries 9 to 11',
  },
  {
    does: 'the tail is cut off with all that was signed',
    sql: `${gone('seq > 8')}; ${HEAD_TO_8}; ${SIGNATURES}`,
    auditor: 'LOG_TRUNCATED, entries 9 to 11',
  },
  {
    does: 'the beginning is cut off',
    sql: gone('seq <= 3'),
    auditor: 'GENESIS_MISSING, entry 1,',
    server: 'GENESIS_MISSING 1',
    signs: true,
  },
  {
    does: 'the beginning is cut off and the rest is hashed again',
    sql: `${gone('seq <= 3')}; ${shift(4, -3)}; ${at(1, "previous_hash = decode(repeat('00', 32), 'hex')")}; ${rehash(1)}`,
    auditor: 'ROOT_MISMATCH, entries 1 to 11',
  },
  {
    does: 'the whole log is emptied',
    sql: `${gone('true')}; DELETE FROM audit_heads WHERE tenant_id = T; ${SIGNATURES}`,
    auditor: 'LOG_TRUNCATED, entries 1 to 11',
    server: 'LOG_TRUNCATED 1',
  },
  {
    does: 'everything is rewritten from an entry on',
    sql: `${at(3, "details = '{}'")}; ${rehash(3)}`,
    auditor: 'ROOT_MISMATCH, entries 1 to 11',
  },
  {
    does: 'everything is rewritten, and what was signed is gone',
    sql: `${at(1, "details = '{}'")}; ${rehash(1)}; ${SIGNATURES}`,
    auditor: 'ROOT_MISMATCH, entries 1 to 11',
  },
];

describe('it is caught when', () => {
  it.each(cases)('$does', async ({ does, sql, auditor: found, server: verified, signs }) => {
    const orgId = does.replaceAll(/[^a-z]+/g, '-');
    const { old, key } = await fill(orgId);
    const genuine = await db.lines(orgId);
    await db.tamper(sql.replaceAll(/\bT\b/g, `'${orgId}'`));
    const moved = await db.lines(`${orgId}-moved`);
    const left = withMoved(await db.lines(orgId), moved);

    const chain = await api.verifyChain({ orgId });
    const { reasonCode, firstBadSeq } = chain.response ?? {};
    const said = chain.response === undefined ? chain.code : `${reasonCode} ${firstBadSeq}`;
    expect(said).toBe(verified ?? 'AUDIT_LOG_BEHIND');
    expect(chain.response?.valid).not.toBe(true);

    const signed = await api.getCheckpoint({ orgId });
    const exported = await api.exportLog({ orgId });
    let lines = left;
    if (signs === true) {
      lines = withMoved(await ok(Promise.resolve(exported)), moved);
      const { checkpoint, size } = await ok(Promise.resolve(signed));
      expect(size).toBe(BigInt(ALL + 1));
      // The entry of VerifyChain follows the genuine ones.
      const verifying = (await db.lines(orgId)).split('\n').find((line) => line.includes(`"seq":"${size}"`));
      expect(await auditor.verify(`${genuine}${verifying}\n`, key, [old, checkpoint])).toMatchObject({ code: 0 });
    } else {
      expect(signed).toMatchObject({ code: 'AUDIT_LOG_BEHIND', response: undefined });
      expect(exported).toMatchObject({ code: 'AUDIT_LOG_BEHIND', response: undefined });
    }
    const verdict = await auditor.verify(lines, key, [old]);
    expect(verdict).toMatchObject({ code: 1, output: expect.stringContaining(found) });

    if (signs !== true) await recover(orgId);
  });

  it('a checkpoint is signed by another key', async () => {
    const { old, key } = await fill('another-key');
    const lines = await ok(api.exportLog({ orgId: 'another-key' }));
    const { origin, size, root } = openCheckpoint(old, [parseVerifierKey(key)]);
    const { name } = parseVerifierKey(key);
    const signer = Signer.fromSeed(SecretBytes.random('signing-seed', 32));
    const other = signCheckpoint({ origin, size, root }, [{ name, signer }]);
    expect(await auditor.verify(lines, key, [old])).toMatchObject({ code: 0 });
    const verdict = await auditor.verify(lines, key, [other]);
    expect(verdict).toMatchObject({ code: 1, output: expect.stringContaining('CHECKPOINT_UNSIGNED') });
  });

  it('a log is rewritten, and a server that knows of nothing signs it again', async () => {
    const orgId = 'signed-again';
    const { old, key } = await fill(orgId);
    await stop();
    await start();
    // As long as it was when the auditor came: two checkpoints of one size.
    await db.tamper(
      `${gone(`seq > ${COVERED}`)}; ${at(4, "details = '{}'")}; ${rehash(4)}; ${SIGNATURES}`.replaceAll(
        /\bT\b/g,
        `'${orgId}'`,
      ),
    );
    const { checkpoint } = await ok(api.getCheckpoint({ orgId }));
    const lines = await ok(api.exportLog({ orgId }));
    expect(await auditor.verify(lines, key)).toMatchObject({ code: 0 });
    const verdict = await auditor.verify(lines, key, [old]);
    expect(verdict).toMatchObject({ code: 1, output: expect.stringContaining('ROOT_MISMATCH, entries 1 to 11') });
    const fork = await auditor.verify(lines, key, [old, checkpoint]);
    expect(fork).toMatchObject({ code: 1, output: expect.stringContaining('LOG_FORKED') });
  });
});

/** The lines of a log, with what was moved to another where it was: behind the sixth. */
function withMoved(lines: string, moved: string): string {
  const all = lines.split('\n');
  return [...all.slice(0, 6), ...moved.split('\n').slice(0, -1), ...all.slice(6)].join('\n');
}

/** A new epoch, which ends the incident; other tests have the log as it was left. */
async function recover(orgId: string): Promise<void> {
  await db.query(
    `INSERT INTO audit_heads (tenant_id, seq, hash, epoch) VALUES ($1, 0, $2, 2)
     ON CONFLICT (tenant_id) DO UPDATE SET epoch = audit_heads.epoch + 1`,
    [orgId, Buffer.alloc(32)],
  );
  const tenantId = `after-${randomBytes(4).toString('hex')}`;
  await expect
    .poll(async () => (await api.createDataKey({ tenantId, scopeId: 'app' })).code, { timeout: 20_000, interval: 50 })
    .toBe('');
  await expect
    .poll(async () => (await api.getKeyInfo({ tenantId, scopeId: 'app' })).code, { timeout: 20_000, interval: 50 })
    .toBe('');
}
