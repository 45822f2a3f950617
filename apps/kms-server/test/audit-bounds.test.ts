import { once } from 'node:events';
import { connect, constants } from 'node:http2';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { type AuditEntry, encodeLine, type NewEntry, type Subject, SubjectCache } from '@minikms/audit-chain';
import { testDatabase } from '@minikms/dev-postgres';
import type { KeyChange } from '@minikms/key-hierarchy';
import { ExportLogRequest, GetAuditLogsRequest, VerifyChainRequest } from '@minikms/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Admission } from '../src/rpc/admission.ts';
import { auditMethods } from '../src/rpc/audit-methods.ts';
import { type Audit, AuditTrail } from '../src/rpc/audit.ts';
import { serverStream } from '../src/rpc/server-stream.ts';
import { callEvent, type Context } from '../src/rpc/unary.ts';
import { type AuditLog, exportLog, getAuditLogs } from '../src/services/audit.ts';
import { type Caller, caller, ok, type Superuser, superuser } from './audit-calls.ts';
import { failure, serve, type TestServer } from './server.ts';

const hash = new Uint8Array(32);
const principal = { kind: 'operator', id: 'operator', tokenSha256: hash } as const;
const entryOf = (seq: number, details = '{}'): AuditEntry => ({
  seq: BigInt(seq),
  timestampUs: BigInt(seq),
  action: seq % 7000 === 0 ? 'rare' : 'common',
  actorId: 'operator',
  details,
  tenantId: 'acme',
  requestJwtHash: hash,
  previousHash: hash,
  entryHash: hash,
});

/** A log of so many entries, and how often it was searched. */
function longLog(size: number, details?: string) {
  const searches: object[] = [];
  const store = {
    findEntries(_: string, filter: { beforeSeq?: number }, limit: number, offset: number) {
      searches.push(filter);
      const newest = Math.min(size, (filter.beforeSeq ?? Infinity) - 1) - offset;
      return Promise.resolve(Array.from({ length: Math.min(limit, newest) }, (_one, i) => entryOf(newest - i)));
    },
    entriesAfter: (_: string, seq: number, limit: number) =>
      Promise.resolve(Array.from({ length: Math.min(limit, size - seq) }, (_one, i) => entryOf(seq + 1 + i, details))),
  };
  const checkpointer = { checkpoint: () => Promise.resolve({ size, note: 'note\n' }) };
  return { searches, auditLog: { store, checkpointer } as unknown as AuditLog };
}

const staying = { stopIfCancelled() {} };
const search = (fields: Partial<GetAuditLogsRequest>) => GetAuditLogsRequest.fromPartial({ orgId: 'acme', ...fields });

describe('a search', () => {
  it('that finds nothing ends after 50,000 entries, and says where to go on', async () => {
    const { searches, auditLog } = longLog(120_000);
    const next: bigint[] = [];
    for (let beforeSeq = 0n; next.at(-1) !== 0n; beforeSeq = next.at(-1) ?? 0n) {
      const answer = await getAuditLogs(auditLog, search({ actorId: 'nobody', beforeSeq }), staying);
      expect(answer.entries).toEqual([]);
      next.push(answer.nextBeforeSeq);
    }
    expect(next).toEqual([70_001n, 20_001n, 0n]);
    // The database is not asked for what it would have to look for.
    expect(searches.filter((filter) => Object.keys(filter).some((name) => name !== 'beforeSeq'))).toEqual([]);
    expect(searches).toHaveLength(121);
  });

  it('finds everything once over all calls, whatever the limit', async () => {
    const { auditLog } = longLog(120_000);
    const rare = Array.from({ length: 17 }, (_, i) => BigInt(7000 * (17 - i)));
    for (const limit of [1, 3, 7, 1000]) {
      const seen: bigint[] = [];
      let beforeSeq = 0n;
      do {
        const answer = await getAuditLogs(auditLog, search({ action: 'rare', limit, beforeSeq }), staying);
        seen.push(...answer.entries.map(({ seq }) => seq));
        beforeSeq = answer.nextBeforeSeq;
      } while (beforeSeq !== 0n);
      expect(seen).toEqual(rare);
    }
  });

  it('leaves out matches, and ends with the first entry', async () => {
    const { auditLog } = longLog(50_000);
    const found = await getAuditLogs(auditLog, search({ action: 'rare', offset: 2, limit: 2 }), staying);
    expect(found.entries.map(({ seq }) => seq)).toEqual([35_000n, 28_000n]);
    const times = { fromTimestampUs: 3n, beforeTimestampUs: 5n };
    const inside = await getAuditLogs(auditLog, search(times), staying);
    expect(inside.entries.map(({ seq }) => seq)).toEqual([4n, 3n]);
    expect(inside.nextBeforeSeq).toBe(0n);
  });

  it('stops for a caller who left', async () => {
    const { searches, auditLog } = longLog(120_000);
    const left = { stopIfCancelled: raise };
    await expect(getAuditLogs(auditLog, search({ action: 'none' }), left)).rejects.toThrow('left');
    expect(searches).toHaveLength(1);
  });
});

function raise(): never {
  throw new Error('left');
}

describe('an export', () => {
  it('has messages below a mebibyte, of whole lines, also of the longest', async () => {
    for (const details of ['\u0001'.repeat(16_384), '\u{10348}'.repeat(4096), '\uFFFD'.repeat(5461), '{}']) {
      const parts: Buffer[] = [];
      for await (const { lines } of exportLog(longLog(1200, details).auditLog, { orgId: 'acme', afterSeq: 0n }))
        parts.push(lines);
      expect(Math.max(...parts.map((part) => part.length))).toBeLessThanOrEqual(1024 * 1024);
      expect(parts.filter((part) => part.at(-1) !== 10)).toEqual([]);
      const lines = Array.from({ length: 1200 }, (_, i) => `${encodeLine(entryOf(i + 1, details))}\n`).join('');
      expect(Buffer.concat(parts.slice(0, -1)).toString() === lines).toBe(true);
    }
  });

  it('ends for a caller who does not read, and gives everything back', async () => {
    const told: (string | undefined)[] = [];
    const audit: Audit = {
      record(_, failed) {
        told.push(failed && `${failed.code}: ${failed.message}`);
        return Promise.resolve();
      },
    };
    const { promise: ended, resolve: over } = Promise.withResolvers<void>();
    let [made, closed] = [1, false];
    const handler = serverStream(
      {
        request: ExportLogRequest,
        bounds: { fields: 10, message: '' },
        permissions: [],
        action: 'audit.export',
        tenant: () => 'acme',
        scope: () => '',
        validate() {},
        facts: () => '',
        encode: (message: Buffer) => message,
        enter: () => Promise.resolve(over),
        async *stream() {
          try {
            for (; ; made++) yield await Promise.resolve(Buffer.alloc(1024 * 1024));
          } finally {
            closed = true;
          }
        },
      },
      { audit, authorize() {} },
      100,
    );
    const rules = { identify: () => principal, isOpen: () => false, actionOf: (path: string) => path };
    const admission = new Admission({ audit, bodyMs: 60_000, ...rules });
    const server = new Server({ interceptors: [admission.interceptor] });
    const same = (bytes: Buffer) => bytes;
    const method = {
      path: '/a.B/C',
      requestStream: false,
      responseStream: true,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    } as const;
    server.addService({ method }, { method: handler });
    const port = await new Promise<number>((resolve) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) => resolve(bound));
    });
    // A client of grpc-js takes what comes, whether or not anybody reads it.
    const session = connect(`http://127.0.0.1:${port}`);
    const headers = { ':method': 'POST', ':path': method.path, 'content-type': 'application/grpc', te: 'trailers' };
    const call = session.request(headers);
    call.on('error', () => {});
    const gone = once(call, 'close');
    // An empty message.
    call.end(Buffer.alloc(5));
    await ended;
    expect(closed).toBe(true);
    expect(told).toEqual([undefined, 'CANCELLED: the caller did not read what it asked for']);
    // The stream is gone: what had not left never arrives.
    await gone;
    expect([call.rstCode, made]).toEqual([constants.NGHTTP2_CANCEL, 1]);
    session.destroy();
    server.forceShutdown();
    admission.close();
  });
});

describe('what reads whole logs', () => {
  const contextOf = (): Context => ({
    ...staying,
    principal,
    event: callEvent('audit.verify', principal, () => ''),
  });
  const head = { seq: 1, hash };

  it('is exported four times at once, twice for a tenant', async () => {
    const { exportLog: method } = auditMethods({
      auditLog: { store: { head: () => Promise.resolve(head) } } as unknown as AuditLog,
    });
    const enter = (orgId: string) => method.enter(ExportLogRequest.fromPartial({ orgId }), contextOf());
    const first = await enter('one');
    const second = await enter('one');
    expect(await failure(enter('one'))).toMatchObject({ code: 'BUSY' });
    const others = [await enter('two'), await enter('three')];
    expect(await failure(enter('four'))).toMatchObject({ code: 'BUSY' });
    first();
    others.push(await enter('one'));
    expect(await failure(enter('one'))).toMatchObject({ code: 'BUSY' });
    for (const leave of [second, ...others]) leave();
    await Promise.all(['one', 'one', 'two', 'two'].map(enter));
  });

  it('is verified twice for a tenant at once, and again when that is over, however it ended', async () => {
    const { promise: held, reject: release } = Promise.withResolvers<never>();
    const store = { head: () => Promise.resolve(head), checkpoint: () => held };
    const published = { highest: () => Promise.resolve(undefined) };
    const { verifyChain } = auditMethods({ auditLog: { store, checkpointer: {}, published } as unknown as AuditLog });
    const run = async () => verifyChain.run(VerifyChainRequest.fromPartial({ orgId: 'one' }), contextOf());
    const both = [failure(run()), failure(run())];
    expect(await failure(run())).toMatchObject({ code: 'BUSY' });
    release(new Error('outage'));
    expect(await Promise.all(both)).toMatchObject([{ message: 'outage' }, { message: 'outage' }]);
    expect(await failure(run())).toMatchObject({ message: 'outage' });
  });
});

describe('the subject of a call', () => {
  it('is the one that its entry names, when the cache forgot it meanwhile', async () => {
    const stored: Subject[] = [];
    const appended: NewEntry[] = [];
    const trail = new AuditTrail({
      appender: {
        append: (entry) => Promise.resolve({ tenantId: entry.tenantId, seq: appended.push(entry) } as never),
      },
      refusals: { add() {} },
      subjects: new SubjectCache(1),
      storeSubjects: (subjects) => Promise.resolve(stored.push(...subjects)),
      callLog() {},
      nowUs: () => 1,
    });
    const called = (peer: string) => ({ ...callEvent('kms.key.rotate', principal, () => peer), tenantId: 'acme' });
    const event = called('192.0.2.1:1');
    const change = { kind: 'rotate', tenantId: 'acme', scopeId: 'app', keyVersionId: 'id', version: 2 };
    const entry = trail.changeEntry(change as unknown as KeyChange, event) as unknown as NewEntry;
    await trail.record(called('192.0.2.2:1'), undefined, undefined);
    event.position = { tenantId: 'acme', seq: 2n } as never;
    await trail.record(event, undefined, undefined);
    const named = JSON.parse(entry.details) as { peer: string };
    expect(stored).toMatchObject([{ id: named.peer, label: '192.0.2.1', tenantId: 'acme' }]);
    expect(appended).toHaveLength(1);
  });
});

describe('asking for a log that is not there', () => {
  let database: Awaited<ReturnType<typeof testDatabase>>;
  let server: TestServer;
  let db: Superuser;
  let api: Caller;
  beforeAll(async () => {
    database = await testDatabase();
    server = await serve({ MINIKMS_DB_URL: database.url });
    db = await superuser(database.url);
    api = caller(server.port);
  });
  afterAll(async () => {
    api.close();
    await server.stop();
    await db.end();
    await database.drop();
  });

  it('begins none: the entry is in the log of the installation, and names the tenant', async () => {
    const calls = [
      (orgId: string) => api.getAuditLogs({ orgId }),
      (orgId: string) => api.verifyChain({ orgId }),
      (orgId: string) => api.exportLog({ orgId }),
      (orgId: string) => api.getCheckpoint({ orgId }),
      (orgId: string) => api.getConsistencyProof({ orgId }),
      (orgId: string) => api.getReceipt({ orgId, seq: 1n }),
      (orgId: string) => api.getInclusionProof({ orgId, seq: 1n }),
      (orgId: string) => api.getInclusionProof({ orgId, seq: 0n }),
      (orgId: string) => api.getAuditLogs({ orgId, limit: 1001 }),
      (orgId: string) => api.exportLog({ orgId, afterSeq: 1n << 60n }),
    ];
    const positions: string[] = [];
    for (const [i, call] of calls.entries()) positions.push((await call(`none-${i}`)).position);
    const rows = await db.rows();
    expect(new Set(rows.map(({ tenantId }) => tenantId))).toEqual(new Set(['_system']));
    const named = positions.map((position) => rows.find(({ id }) => id === position)?.told['tenant']);
    expect(named).toEqual(calls.map((_, i) => `none-${i}`));
  });

  it('is another matter for one that is', async () => {
    const orgId = 'acme';
    await ok(api.createDataKey({ tenantId: orgId, scopeId: 'app' }));
    await ok(api.verifyChain({ orgId }));
    await ok(api.exportLog({ orgId }));
    await api.getAuditLogs({ orgId, limit: 1001 });
    expect((await db.rows(orgId)).map(({ action, told }) => [action, told['tenant']])).toEqual([
      ['kms.key.create', undefined],
      ['audit.verify', undefined],
      ['audit.export', undefined],
      ['audit.read', undefined],
    ]);
  });
});
