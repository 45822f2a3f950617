import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { verifySubject } from '@minikms/audit-chain';
import { testDatabase } from '@minikms/dev-postgres';
import { AuditServiceService, KMSServiceService } from '@minikms/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, type Caller, caller, ok, type Row, type Superuser, superuser } from './audit-calls.ts';
import { health } from './health.ts';
import { serve, type TestServer } from './server.ts';

const TOKEN = randomBytes(32).toString('hex');
const DIGEST = createHash('sha256').update(TOKEN).digest('hex');
const PLAINTEXT = `plaintext-${randomUUID()}`;
const AAD = `aad-${randomUUID()}`;

let database: Awaited<ReturnType<typeof testDatabase>>;
let server: TestServer;
let db: Superuser;
let api: Caller;

beforeAll(async () => {
  database = await testDatabase();
  server = await serve(
    { MINIKMS_DB_URL: database.url, MINIKMS_OPERATOR_TOKEN_SHA256: DIGEST, MINIKMS_MAX_PLAINTEXT_BYTES: '1000' },
    { args: [] },
  );
  db = await superuser(database.url);
  // No interval writes an entry between those of the tests.
  await db.query("UPDATE audit_schedule SET due_at = 'infinity'");
  api = caller(server.port, TOKEN);
});
afterAll(async () => {
  api.close();
  await server.stop();
  await db.end();
  await database.drop();
});

type Scope = Readonly<Record<'tenantId' | 'scopeId', string>>;
const newScope = (): Scope => ({ tenantId: `org-${randomUUID()}`, scopeId: 'app' });
const text = (value: string) => Buffer.from(value);
const secret = { plaintext: text(PLAINTEXT), aad: AAD };

/** The entries that a call added to all logs. */
async function added<T>(make: () => Promise<T>): Promise<{ answer: T; rows: Row[] }> {
  const before = new Set((await db.rows()).map(({ id }) => id));
  const answer = await make();
  return { answer, rows: (await db.rows()).filter(({ id }) => !before.has(id)) };
}

/** The one entry that a call left, which is where its answer says, and tells whose call it was. */
async function onlyEntry(make: () => Promise<Answer<unknown>>): Promise<{ answer: Answer<unknown>; row: Row }> {
  const { answer, rows } = await added(make);
  const [row, ...more] = rows;
  if (row === undefined) throw new Error(`no entry of a call that ended with ${answer.grpcStatus} ${answer.code}`);
  expect(more.map(({ id, action }) => `${id} ${action}`)).toEqual([]);
  expect(answer.position).toBe(row.id);
  expect(answer.requestId).not.toBe('');
  expect(row.told).toMatchObject({ outcome: answer.code || 'OK', request: answer.requestId });
  expect(row.actorId).toBe('operator');
  expect(Buffer.from(row.requestJwtHash).toString('hex')).toBe(DIGEST);
  const peers = await db.query('SELECT kind, salt, label FROM audit_subjects WHERE id = $1 AND tenant_id = $2', [
    row.told['peer'],
    row.tenantId,
  ]);
  expect(peers.rows).toMatchObject([{ kind: 'peer', label: '127.0.0.1' }]);
  const [peer] = peers.rows as [{ salt: Buffer; label: string }];
  expect(verifySubject(String(row.told['peer']), peer.salt, peer.label)).toBe(true);
  return { answer, row };
}

interface Prepared extends Scope {
  readonly orgId: string;
  readonly ciphertext: Buffer;
  readonly keyVersionId: string;
}
/** A tenant with a key, and a ciphertext of it. */
async function prepared(): Promise<Prepared> {
  const scope = newScope();
  const { ciphertext, keyVersionId } = await ok(api.encrypt({ ...scope, ...secret }));
  return { ...scope, orgId: scope.tenantId, ciphertext, keyVersionId };
}

type Told = Readonly<Record<string, unknown>>;
type Case = readonly [
  rpc: string,
  action: string,
  call: (given: Prepared) => Promise<Answer<unknown>>,
  told: (given: Prepared, response: never) => Told,
];
const AAD_BYTES = { aad_bytes: AAD.length };
const version = ({ keyVersionId }: Prepared) => ({ key_version: keyVersionId });

const successes: readonly Case[] = [
  [
    'Encrypt',
    'kms.encrypt',
    (given) => api.encrypt({ ...given, ...secret }),
    (given) => ({ scope: 'app', ...version(given), plaintext_bytes: PLAINTEXT.length, ...AAD_BYTES }),
  ],
  [
    'Decrypt',
    'kms.decrypt',
    (given) => api.decrypt({ ...given, keyVersionId: '', aad: AAD }),
    (given) => ({ scope: 'app', ...version(given), ciphertext_bytes: given.ciphertext.length, ...AAD_BYTES }),
  ],
  [
    'BatchEncrypt',
    'kms.batch_encrypt',
    (given) => api.batchEncrypt({ ...given, items: [secret, secret, { plaintext: text('abc') }] }),
    () => ({ scope: 'app', items: 3, failed: 0, plaintext_bytes: 2 * PLAINTEXT.length + 3 }),
  ],
  [
    'BatchDecrypt',
    'kms.batch_decrypt',
    ({ ciphertext, ...given }) =>
      api.batchDecrypt({ ...given, perItemResults: true, items: [{ ciphertext, aad: AAD }, { ciphertext }] }),
    ({ ciphertext }) => ({ scope: 'app', items: 2, failed: 1, ciphertext_bytes: 2 * ciphertext.length }),
  ],
  [
    'CreateDataKey',
    'kms.key.create',
    (given) => api.createDataKey({ ...given, scopeId: 'new' }),
    (_, { keyVersionId }: { keyVersionId: string }) => ({ scope: 'new', key_version: keyVersionId, version: 1 }),
  ],
  [
    'CreateDataKey of one that is there',
    'kms.key.create',
    (given) => api.createDataKey(given),
    (given) => ({ scope: 'app', ...version(given), existed: true }),
  ],
  [
    'RotateDataKey',
    'kms.key.rotate',
    (given) => api.rotateDataKey(given),
    (given, { newKeyVersionId }: { newKeyVersionId: string }) => ({
      scope: 'app',
      key_version: newKeyVersionId,
      version: 2,
      replaces: given.keyVersionId,
    }),
  ],
  [
    'ReEncrypt',
    'kms.reencrypt',
    (given) => api.reEncrypt({ ...given, sourceAad: AAD, targetAad: AAD }),
    (given) => ({
      scope: 'app',
      ...version(given),
      source_key_version: given.keyVersionId,
      ciphertext_bytes: given.ciphertext.length,
    }),
  ],
  ['GetKeyInfo', 'kms.key.info', (given) => api.getKeyInfo(given), (given) => ({ scope: 'app', ...version(given) })],
  ['GetAuditLogs', 'audit.read', (given) => api.getAuditLogs(given), () => ({ entries: 2 })],
  ['VerifyChain', 'audit.verify', (given) => api.verifyChain(given), () => ({ valid: true, entries: 2 })],
  ['ExportLog', 'audit.export', (given) => api.exportLog(given), () => ({ after_seq: 0 })],
  ['GetCheckpoint', 'audit.checkpoint', (given) => api.getCheckpoint(given), () => ({ size: 2 })],
  ['GetInclusionProof', 'audit.prove', (given) => api.getInclusionProof({ ...given, seq: 1n }), () => ({ seq: 1 })],
  [
    'GetConsistencyProof',
    'audit.prove',
    (given) => api.getConsistencyProof({ ...given, oldSize: 1n }),
    () => ({ old_size: 1 }),
  ],
  ['GetReceipt', 'audit.prove', (given) => api.getReceipt({ ...given, seq: 2n }), () => ({ seq: 2 })],
];

describe('every call that succeeds leaves one entry', () => {
  it.each(successes)('%s', async (_, action, call, told) => {
    const given = await prepared();
    const { answer, row } = await onlyEntry(() => call(given));
    expect(answer.code).toBe('');
    expect(row).toMatchObject({ tenantId: given.tenantId, action });
    const { outcome: _outcome, request: _request, peer: _peer, ...rest } = row.told;
    expect(rest).toEqual(told(given, answer.response as never));
  });

  it('of every RPC that there is', () => {
    const all = [...Object.values(KMSServiceService), ...Object.values(AuditServiceService)];
    const names = all.map(({ path }) => path.split('/')[2]);
    expect(names.filter((name) => !successes.some(([covered]) => covered === name))).toEqual([]);
  });

  it('and a key that the first use of a scope made one more, of the same call', async () => {
    const scope = newScope();
    const { answer, rows } = await added(() => api.encrypt({ ...scope, ...secret }));
    expect(rows).toMatchObject([
      { action: 'kms.key.create', told: { request: answer.requestId, version: 1 } },
      { action: 'kms.encrypt', told: { request: answer.requestId }, id: answer.position },
    ]);
  });

  it('with a subject that can be looked up, also when the first call of a tenant changed a key', async () => {
    await onlyEntry(() => api.createDataKey(newScope()));
  });

  it('once for a key that many calls make at the same time', async () => {
    const scope = newScope();
    const { answer, rows } = await added(() => Promise.all(Array.from({ length: 20 }, () => api.createDataKey(scope))));
    expect(new Set(answer.map(({ position }) => position))).toEqual(new Set(rows.map(({ id }) => id)));
    expect(rows).toHaveLength(20);
    expect(rows.filter(({ told }) => told['existed'] === undefined)).toHaveLength(1);
  });
});

type Failing = readonly [
  what: string,
  code: string,
  log: 'tenant' | '_system',
  call: (given: Prepared) => Promise<Answer<unknown>>,
];
const failures: readonly Failing[] = [
  ['a tenant id that is none', 'ID_INVALID', '_system', (given) => api.encrypt({ ...given, tenantId: '..' })],
  ['no tenant id', 'ID_INVALID', '_system', () => api.getKeyInfo({})],
  ['the log of the installation as tenant', 'ID_INVALID', '_system', () => api.encrypt({ tenantId: '_system' })],
  ['an organisation that is none', 'ID_INVALID', '_system', () => api.exportLog({ orgId: 'a b' })],
  ['bytes that are no request', 'REQUEST_MALFORMED', '_system', () => api.raw('KMSService/Encrypt', Buffer.of(255))],
  ['a scope id that is none', 'ID_INVALID', 'tenant', (given) => api.encrypt({ ...given, scopeId: '"\u0000\uD83D' })],
  ['an unknown scope', 'KEY_NOT_FOUND', 'tenant', (given) => api.getKeyInfo({ ...given, scopeId: 'other' })],
  ['an unknown scope to rotate', 'KEY_NOT_FOUND', 'tenant', (given) => api.rotateDataKey({ ...given, scopeId: 'no' })],
  ['a wrong ciphertext', 'CIPHERTEXT_INVALID', 'tenant', (given) => api.decrypt({ ...given, aad: 'other' })],
  ['no ciphertext', 'CIPHERTEXT_MALFORMED', 'tenant', (given) => api.decrypt({ ...given, ciphertext: text('') })],
  [
    'another key version',
    'KEY_VERSION_MISMATCH',
    'tenant',
    (given) => api.decrypt({ ...given, aad: AAD, keyVersionId: randomUUID() }),
  ],
  ['a wrong checksum', 'CHECKSUM_MISMATCH', 'tenant', (given) => api.encrypt({ ...given, ...secret, aadCrc32c: 1 })],
  [
    'too much plaintext',
    'LIMIT_EXCEEDED',
    'tenant',
    (given) => api.encrypt({ ...given, plaintext: Buffer.alloc(1001) }),
  ],
  [
    'one bad item',
    'CIPHERTEXT_INVALID',
    'tenant',
    ({ ciphertext, ...given }) =>
      api.batchDecrypt({
        ...given,
        items: [
          { ciphertext, aad: AAD },
          { ciphertext, aad: 'other' },
        ],
      }),
  ],
  ['a limit', 'FIELD_INVALID', 'tenant', (given) => api.getAuditLogs({ ...given, limit: 1001 })],
  ['an entry that is not there', 'ENTRY_NOT_FOUND', 'tenant', (given) => api.getReceipt({ ...given, seq: 99n })],
  ['a size that was not', 'TREE_INVALID', 'tenant', (given) => api.getConsistencyProof({ ...given, oldSize: 99n })],
];

describe('every call that fails leaves one entry', () => {
  it.each(failures)('%s: %s, in the log of %s', async (_, code, log, call) => {
    const given = await prepared();
    const { answer, row } = await onlyEntry(() => call(given));
    expect(answer).toMatchObject({ code, response: undefined });
    expect(answer.grpcStatus).not.toBe(status.OK);
    expect(row.tenantId).toBe(log === 'tenant' ? given.tenantId : '_system');
  });
});

describe('what is not in the log', () => {
  it('health checks', async () => {
    const { rows } = await added(() => Promise.all(Array.from({ length: 10 }, () => health(server.port))));
    expect(rows).toEqual([]);
  });

  it('plaintexts, aads, ciphertexts and tokens, in any form', async () => {
    const given = await prepared();
    await api.raw('KMSService/Encrypt', text(PLAINTEXT));
    await api.encrypt({ ...given, ...secret, scopeId: '' });
    const rows = await db.rows();
    expect(rows.length).toBeGreaterThan(10);
    const everything = JSON.stringify(rows.map(({ details, action, actorId }) => [details, action, actorId]));
    const subjects = await db.query('SELECT * FROM audit_subjects');
    const places = { everything, subjects: JSON.stringify(subjects.rows), output: server.output() };
    for (const hidden of [PLAINTEXT, AAD, TOKEN, given.ciphertext.toString()]) {
      const bytes = text(hidden);
      const forms = [hidden, bytes.toString('hex'), bytes.toString('base64').replace(/=+$/, '').slice(0, -1)];
      for (const [place, content] of Object.entries(places))
        for (const form of forms) expect(content.includes(form), `${form} in ${place}`).toBe(false);
    }
  });
});
