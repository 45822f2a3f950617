import { randomBytes, randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditStore, Batch, Head, Outcome, Subject } from '@minikms/audit-chain';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore, type Store } from '../src/index.ts';
import { batchOf, EMPTY, newEntries, nextBatch, verified } from './audit-fixture.ts';
import { database, newKey, parallel, type Database } from './fixture.ts';

let db: Database;
let store: Store;

beforeEach(async () => {
  db = await database();
  store = await db.store();
});
afterEach(() => db.drop());

function holdLog(tenantId: string): Promise<() => Promise<void>> {
  return db.hold(`SELECT FROM audit_heads WHERE tenant_id = '${tenantId}' FOR UPDATE`);
}

function details(batches: readonly Batch[]): string[] {
  return batches.flatMap(({ entries }) => entries.map((entry) => entry.details));
}

function newSubjects(tenantId: string, count: number): readonly Subject[] {
  return Array.from({ length: count }, () => ({
    id: randomBytes(32).toString('base64url'),
    tenantId,
    kind: 'member',
    salt: new Uint8Array(randomBytes(32)),
    label: 'somebody@example.com',
  }));
}

describe('four servers that write one log', () => {
  it('make no gap and no fork, and lose nothing', async () => {
    const stores = [store, ...(await parallel(3, () => db.store()))];
    const written: string[] = [];
    await Promise.all(
      stores.map(async ({ audit }, server) => {
        for (let round = 0; round < 40; round++) {
          const batch = await nextBatch(audit, 'acme', 1 + randomInt(5));
          // Every other time without asking where the log ends.
          const inTurn = (round + server) % 2 === 0;
          const [outcome] = inTurn ? [false] : await audit.append([batch], []);
          if (outcome !== true) await audit.appendInTurn(batch.entries, newSubjects('acme', 1));
          written.push(...details([batch]));
        }
      }),
    );
    expect((await verified(store.audit, 'acme')).toSorted()).toEqual(written.toSorted());
  });
});

describe('eight servers that write many logs', () => {
  /** Appends to random sets of logs by what it knows of their heads, as a server does. */
  async function write(audit: AuditStore, flushes: number, written: Map<string, string[]>): Promise<void> {
    const heads = new Map<string, Head>();
    for (let flush = 0; flush < flushes; flush++) {
      const tenants = new Set(Array.from({ length: 45 }, () => `tenant-${randomInt(20 + Math.min(flush, 20))}`));
      const batches = [...tenants]
        .slice(0, 30)
        .map((tenant) => batchOf(heads.get(tenant) ?? EMPTY, newEntries(tenant, 1 + randomInt(3))));
      const outcomes = await audit.append(batches, newSubjects('acme', 3));
      await Promise.all(
        batches.map(async (batch, at) => {
          const head = await settle(audit, batch, outcomes[at]!);
          if (head === undefined) return;
          heads.set(batch.tenantId, head);
          written.set(batch.tenantId, [...(written.get(batch.tenantId) ?? []), ...details([batch])]);
        }),
      );
      // A log that this server forgot, or thinks is empty.
      heads.delete(`tenant-${randomInt(40)}`);
    }
  }

  /** The head after the batch; `undefined` when it is let go. */
  async function settle(audit: AuditStore, batch: Batch, outcome: Outcome): Promise<Head | undefined> {
    const { after, entries, hashes, tenantId } = batch;
    if (outcome === true) return { ...after, seq: after.seq + entries.length, hash: hashes.at(-1)! };
    if (randomInt(4) > 0) return (await audit.appendInTurn(entries, newSubjects(tenantId, 1))).head;
    return undefined;
  }

  /** Runs `work` on eight servers; how many deadlocks there were, which their retries hide. */
  async function deadlocks(work: (servers: readonly AuditStore[]) => Promise<unknown>): Promise<unknown> {
    const sessions = (): Promise<unknown[]> =>
      db.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'minikms'`);
    const others = await sessions();
    const stores = await parallel(8, () => openStore({ url: db.url, maxConnections: 2 }));
    try {
      await work(stores.map(({ audit }) => audit));
    } finally {
      await Promise.all(stores.map((each) => each.close()));
    }
    // What a session counted is certain to be seen once it has ended.
    await expect.poll(sessions).toHaveLength(others.length);
    const [stats] = await db.query('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()');
    return stats?.['deadlocks'];
  }

  it('never wait in a circle', { timeout: 120_000 }, async () => {
    const written = new Map<string, string[]>();
    const found = await deadlocks((servers) => Promise.all(servers.map((audit) => write(audit, 40, written))));
    expect(found).toBe('0');
    expect(written.size).toBe(40);
    for (const [tenant, all] of written) {
      expect((await verified(store.audit, tenant)).toSorted()).toEqual(all.toSorted());
    }
  });

  it('begin each log once, in whatever order they come', { timeout: 120_000 }, async () => {
    const begun: string[] = [];
    const begin = async (audit: AuditStore, round: number): Promise<void> => {
      const tenants = Array.from({ length: 300 }, (_, index) => ({
        id: `tenant-${round}-${index}`,
        at: randomInt(1e6),
      }));
      const shuffled = tenants.toSorted((a, b) => a.at - b.at);
      const outcomes = await audit.append(
        shuffled.map(({ id }) => batchOf(EMPTY, newEntries(id, 1))),
        [],
      );
      begun.push(...shuffled.filter((_, at) => outcomes[at] === true).map(({ id }) => id));
    };
    const found = await deadlocks(async (servers) => {
      for (let round = 0; round < 10; round++) await Promise.all(servers.map((audit) => begin(audit, round)));
    });
    expect(found).toBe('0');
    expect(begun).toHaveLength(3_000);
    expect(new Set(begun).size).toBe(3_000);
  });
});

describe('a log that somebody holds', () => {
  it('is busy at once, while the others of the flush are written and new ones begun', async () => {
    const tenants = ['a', 'b', 'c'];
    await store.audit.append(
      tenants.map((tenant) => batchOf(EMPTY, newEntries(tenant, 1))),
      [],
    );
    const batches = await Promise.all([...tenants, 'new'].map((tenant) => nextBatch(store.audit, tenant, 2)));
    const letGo = await holdLog('b');
    expect(await store.audit.append(batches, newSubjects('b', 1))).toEqual([true, 'busy', true, true]);
    await letGo();
    expect(await store.audit.append([batches[1]!], [])).toEqual([true]);
    expect(await store.audit.erase('b', 'somebody@example.com')).toBe(1);
    for (const { tenantId } of batches) await verified(store.audit, tenantId);
  });

  it('and is just begun is busy soon, with all that begin with it; what follows is written, and the subjects', async () => {
    await store.audit.appendInTurn(newEntries('old', 1), []);
    const letGo = await db.hold(
      `INSERT INTO audit_heads (tenant_id, seq, hash) VALUES ('begun', 0, decode(repeat('00', 32), 'hex'))`,
    );
    const begins = ['begun', 'new'].map((tenant) => batchOf(EMPTY, newEntries(tenant, 1)));
    const batches = [...begins, await nextBatch(store.audit, 'old', 1)];
    // Before it is let go: who would wait for it would never come back.
    expect(await store.audit.append(batches, newSubjects('old', 1))).toEqual(['busy', 'busy', true]);
    expect(await store.audit.append(begins, newSubjects('new', 1))).toEqual(['busy', 'busy']);
    await letGo();
    expect(await store.audit.append(begins, [])).toEqual([true, true]);
    for (const tenant of ['old', 'new']) expect(await store.audit.erase(tenant, 'somebody@example.com')).toBe(1);
  });

  it('holds up who waits for it, and neither flushes nor keys nor pages', async () => {
    const key = newKey();
    await store.keys.createFirst(key, 0);
    await store.audit.appendInTurn(newEntries('held', 1), []);
    const letGo = await holdLog('held');
    let settled = 0;
    const waiting = parallel(6, () => store.audit.appendInTurn(newEntries('held', 1), []).finally(() => settled++));
    for (let round = 0; round < 20; round++) {
      const batch = await nextBatch(store.audit, 'free', 1);
      expect(await store.audit.append([batch], [])).toEqual([true]);
      expect(await store.keys.findCurrent(key)).toMatchObject({ id: key.id });
      expect(await store.audit.findEntries('held', {}, 10, 0)).toHaveLength(1);
    }
    expect(settled).toBe(0);
    await letGo();
    await waiting;
    expect(await verified(store.audit, 'held')).toHaveLength(7);
  });

  it('is STORE_UNAVAILABLE after 5 seconds to who waits for it', { timeout: 15_000 }, async () => {
    await store.audit.appendInTurn(newEntries('held', 1), []);
    const letGo = await holdLog('held');
    const late = store.audit.appendInTurn(newEntries('held', 1), []);
    await expect(late).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await letGo();
    expect((await store.audit.appendInTurn(newEntries('held', 1), [])).first).toBe(2);
  });
});

describe('a crowd that reads pages of entries', () => {
  it('leaves connections to keys and heads', async () => {
    const few = await db.store({ maxConnections: 4 });
    const key = newKey();
    await few.keys.createFirst(key, 0);
    const letGo = await db.hold('LOCK TABLE kms_audit_log IN ACCESS EXCLUSIVE MODE');
    let settled = 0;
    const pages = parallel(20, (index) =>
      (index % 2 === 0 ? few.audit.findEntries('acme', {}, 10, 0) : few.audit.entriesAfter('acme', 0, 10)).finally(
        () => settled++,
      ),
    );
    for (let round = 0; round < 20; round++) {
      expect(await few.keys.findCurrent(key)).toMatchObject({ id: key.id });
      expect(await few.audit.head('acme')).toBeUndefined();
    }
    expect(settled).toBe(0);
    await letGo();
    expect(await pages).toHaveLength(20);
  });
});

describe('a flush whose connection is lost', () => {
  it('is STORE_UNAVAILABLE, appends all of it or nothing, and the next is as good as any', async () => {
    await store.audit.appendInTurn(newEntries('acme', 1), []);
    const batches = [await nextBatch(store.audit, 'acme', 3), batchOf(EMPTY, newEntries('new', 3))];
    const letGo = await db.hold('LOCK TABLE kms_audit_log IN EXCLUSIVE MODE');
    const lost = store.audit.append(batches, []);
    const failed = expect(lost).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await expect.poll(() => terminate(`wait_event_type = 'Lock'`)).toBeGreaterThanOrEqual(1);
    await sleep(50);
    await terminate(`wait_event_type = 'Lock'`);
    await failed;
    await letGo();
    expect(await verified(store.audit, 'acme')).toHaveLength(1);
    expect(await store.audit.head('new')).toBeUndefined();
    expect(await store.audit.append(batches, [])).toEqual([true, true]);
    for (const { tenantId } of batches) await verified(store.audit, tenantId);
  });

  async function terminate(which: string): Promise<number> {
    return (
      await db.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'minikms' AND ${which}`,
      )
    ).length;
  }
});

describe('a claim of the next checkpoints', () => {
  it('does not wait for a clock that has been put back', async () => {
    expect(await store.audit.claimInterval(60_000)).toBe(true);
    await db.query(
      `UPDATE audit_schedule SET claimed_at = now() + interval '1 year', due_at = now() + interval '1 year'`,
    );
    expect(await store.audit.claimInterval(60_000)).toBe(true);
    expect(await store.audit.claimInterval(60_000)).toBe(false);
  });
});

describe('what was answered is on disk', () => {
  function withOptions(options: string): string {
    const url = new URL(db.url);
    url.searchParams.set('options', options);
    return url.href;
  }

  it.each(['off', 'local'])('so a URL that asks for synchronous_commit=%s is refused', async (value) => {
    const opened = openStore({ url: withOptions(`-c synchronous_commit=${value}`) });
    await expect(opened).rejects.toMatchObject({ name: 'StoreError', code: 'STORE_NOT_DURABLE' });
  });

  it.each(['on', 'remote_write', 'remote_apply'])('and one that asks for %s is not', async (value) => {
    await (await openStore({ url: withOptions(`-c synchronous_commit=${value}`) })).close();
  });

  it('whatever the database says', async () => {
    await db.query(`ALTER DATABASE ${new URL(db.url).pathname.slice(1)} SET synchronous_commit = off`);
    const opened = await db.store();
    await opened.ping();
    // The log of a session that writes tells what it runs with.
    await db.query(`CREATE TABLE seen AS SELECT ''::text AS setting LIMIT 0`);
    await db.query(
      `CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN INSERT INTO seen SELECT current_setting('synchronous_commit'); RETURN NULL; END $$`,
    );
    for (const table of ['kms_audit_log', 'key_versions']) {
      await db.query(`CREATE TRIGGER see AFTER INSERT ON ${table} EXECUTE FUNCTION see()`);
    }
    await opened.audit.append([batchOf(EMPTY, newEntries('acme', 1))], []);
    await opened.audit.appendInTurn(newEntries('acme', 1), []);
    await opened.keys.createFirst(newKey(), 0);
    expect(await db.query('SELECT setting FROM seen')).toEqual([
      { setting: 'on' },
      { setting: 'on' },
      { setting: 'on' },
    ]);
  });
});
