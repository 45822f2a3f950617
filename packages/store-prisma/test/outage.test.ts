import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { Pool } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStore, StoreError, type Store } from '../src/index.ts';
import { openPool } from '../src/pool.ts';
import { run, type Statement } from '../src/statement.ts';
import { database, newKey, parallel, type Database } from './fixture.ts';

let db: Database;

beforeEach(async () => {
  db = await database();
});
afterEach(() => db.drop());

/** Connections that are not a store's: `cutOff` spares them. */
function connections(): Pool {
  return openPool({ url: `${db.url}${db.url.includes('?') ? '&' : '?'}application_name=other`, maxConnections: 4 });
}

/** Ends every connection of the stores, as a restart of the server does. */
async function cutOff(): Promise<void> {
  await db.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'minikms'`,
  );
}

function outcome(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'done',
    (error: unknown) => (error instanceof StoreError ? error.code : String(error)),
  );
}

/** One call through each way that the store has of talking to the database. */
function calls(store: Store): Promise<unknown>[] {
  const key = newKey({ scopeId: 'busy' });
  return [
    store.ping(),
    store.keys.lease(key, 1),
    store.keys.findVersion(key, key.id),
    store.keys.succeed(key.id, key),
    store.roots.load(),
    store.installation.stamp('development'),
    store.changes.since(0),
  ];
}

describe('a server that goes away', () => {
  it('is STORE_UNAVAILABLE or not noticed, and then all is well again', async () => {
    const errors: Error[] = [];
    const store = await db.store({ onError: (error) => errors.push(error) });
    await store.keys.createFirst(newKey({ scopeId: 'busy' }), 0);
    const outcomes: string[] = [];
    let going = true;
    const traffic = parallel(8, async () => {
      while (going) outcomes.push(...(await Promise.all(calls(store).map(outcome))));
    });
    for (let cut = 0; cut < 5; cut++) {
      await sleep(50);
      await cutOff();
    }
    going = false;
    await traffic;
    expect(new Set(outcomes).difference(new Set(['done', 'STORE_UNAVAILABLE']))).toEqual(new Set());
    // A connection that broke unnoticed costs one more failure each.
    await expect.poll(async () => new Set(await Promise.all(calls(store).map(outcome)))).toEqual(new Set(['done']));
  });

  it('tells onError of connections lost while idle, and ends no process', async () => {
    const errors: Error[] = [];
    const store = await db.store({ onError: (error) => errors.push(error) });
    await Promise.all(calls(store));
    await cutOff();
    await expect.poll(() => errors.length).toBeGreaterThan(0);
    await expect.poll(() => outcome(store.ping())).toBe('done');
  });

  it('leaves no connection checked out after successions are cut off', async () => {
    const store = await db.store({ maxConnections: 6 });
    const key = newKey({ scopeId: 'held' });
    await store.keys.createFirst(key, 0);
    const holder = connections();
    const held = await holder.connect();
    await held.query('BEGIN');
    await held.query('SELECT FROM key_versions FOR UPDATE');
    const waiting = parallel(2, () => outcome(store.keys.succeed(key.id, newKey({ ...key, version: 2 }))));
    await sleep(200);
    await cutOff();
    expect(await waiting).toEqual(['STORE_UNAVAILABLE', 'STORE_UNAVAILABLE']);
    await held.query('ROLLBACK');
    held.release();
    await holder.end();
    await parallel(10, () => store.keys.findCurrent(key));
    expect(await store.keys.succeed(key.id, newKey({ ...key, id: randomUUID(), version: 2 }))).toMatchObject({
      replaced: true,
    });
  });

  it('is STORE_UNAVAILABLE when a lock is held for longer than 5 seconds', { timeout: 15_000 }, async () => {
    const store = await db.store();
    const key = newKey();
    await store.keys.createFirst(key, 0);
    const holder = connections();
    const held = await holder.connect();
    await held.query('BEGIN');
    await held.query('SELECT FROM key_versions FOR UPDATE');
    expect(await outcome(store.keys.lease(key, 1))).toBe('STORE_UNAVAILABLE');
    await held.query('ROLLBACK');
    held.release();
    await holder.end();
    expect(await store.keys.lease(key, 1)).toMatchObject({ granted: 1 });
  });

  it('is STORE_UNAVAILABLE within 3 seconds where nothing listens, without naming the host', async () => {
    const started = performance.now();
    const opened = openStore({ url: 'postgresql://nobody:secret@127.0.0.1:1/nothing' });
    await expect(opened).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', cause: { code: 'ECONNREFUSED' } });
    await expect(opened).rejects.toThrow(/^(?!.*127\.0\.0\.1)/);
    expect(performance.now() - started).toBeLessThan(3_000);
  });

  it('is STORE_UNAVAILABLE within 3 seconds where something listens and never answers', async () => {
    const silent = createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const started = performance.now();
    const opened = openStore({ url: `postgresql://nobody@127.0.0.1:${port}/nothing` });
    await expect(opened).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(performance.now() - started).toBeLessThan(3_000);
    silent.close();
  });
});

describe('a database that takes no writes', () => {
  it('is STORE_UNAVAILABLE to ping and to writes', async () => {
    const readOnly = `${db.url}${db.url.includes('?') ? '&' : '?'}options=-c%20default_transaction_read_only%3Don`;
    await expect(openStore({ url: readOnly })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    const store = await db.store();
    await db.query(`ALTER DATABASE ${new URL(db.url).pathname.slice(1)} SET default_transaction_read_only = on`);
    await cutOff();
    expect(await outcome(store.keys.createFirst(newKey(), 0))).toBe('STORE_UNAVAILABLE');
    expect(await outcome(store.installation.stamp('development'))).toBe('STORE_UNAVAILABLE');
    expect(await outcome(store.roots.load())).toBe('done');
  });
});

describe('run', () => {
  it('runs again after a conflict, five times at most', async () => {
    const pool = connections();
    // A sequence keeps count of what is rolled back, too.
    await db.query('CREATE SEQUENCE runs');
    const conflict: Statement = {
      name: 'conflict',
      text: `DO $$ BEGIN PERFORM nextval('runs'); RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$`,
    };
    expect(await outcome(run(pool, conflict))).toBe('STORE_UNAVAILABLE');
    expect(await db.query('SELECT last_value FROM runs')).toEqual([{ last_value: '6' }]);
    await pool.end();
  });

  it('resolves a deadlock by running again', async () => {
    const pool = connections();
    await db.query(`CREATE TABLE t AS SELECT n, 0 AS hits FROM generate_series(0, 1) n`);
    const hit = (n: number): string => `UPDATE t SET hits = hits + 1 WHERE n = ${n}; PERFORM pg_sleep(0.05);`;
    await parallel(2, (index) =>
      run(pool, { name: `hits_${index}`, text: `DO $$ BEGIN ${hit(index)} ${hit(1 - index)} END $$` }),
    );
    expect(await db.query('SELECT hits FROM t')).toEqual([{ hits: 2 }, { hits: 2 }]);
    await pool.end();
  });

  it('is READ COMMITTED, whatever the default of the database', async () => {
    await db.query(
      `ALTER DATABASE ${new URL(db.url).pathname.slice(1)} SET default_transaction_isolation = serializable`,
    );
    const pool = connections();
    expect(await run(pool, { name: 'level', text: 'SHOW transaction_isolation' })).toEqual([
      { transaction_isolation: 'read committed' },
    ]);
    await pool.end();
  });
});
