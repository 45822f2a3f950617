import { describe, expect, test } from 'vitest';
import type { Floor } from '../src/index.ts';
import { newEntries, newEntry, openAppender, outcomes, turns, wholeLog } from './appender-cases.ts';

const GIVEN_UP = 'STORE_UNAVAILABLE';
const never = new Promise<never>(() => {});

/** With the time as it is: what is given up here is given up by a timer. */
const SOON = { giveUpMs: 40, now: () => performance.now() };

describe('a checkpoint that does not come', () => {
  test('holds up no log but its own', async () => {
    const { appender, store } = openAppender({ floor: (tenantId) => (tenantId === 'slow' ? never : undefined) });
    const slow = outcomes([appender.append(newEntry('slow'))]);
    await turns(5);
    for (let seq = 1; seq < 10; seq += 1) expect(await appender.append(newEntry('b'))).toEqual({ tenantId: 'b', seq });
    expect(appender.queued).toBe(1);
    appender.halt('slow', 1, 'is not wanted any more');
    expect(await slow).toEqual(['AUDIT_LOG_BEHIND']);
    expect(await wholeLog(store, 'slow')).toEqual([]);
  });

  test('also of logs that others write, more of them than are written in turn at once', async () => {
    const slow = new Map<string, Promise<Floor>>();
    const { appender, store } = openAppender({ maxInTurn: 2, floor: (tenantId) => slow.get(tenantId) });
    const tenants = ['a', 'b', 'c', 'free'];
    await Promise.all(tenants.map((tenantId) => appender.append(newEntry(tenantId))));
    await Promise.all(tenants.map((tenantId) => store.appendInTurn([newEntry(tenantId)], [])));
    // The first of them wait where a flush was too late, the next behind an append in turn.
    store.fate = ({ method, tenantIds: [tenantId] }) => {
      if (method === 'appendInTurn' && tenantId !== 'free') slow.set(tenantId!, never);
      return 'done';
    };
    slow.set('a', never);
    const held = ['a', 'b', 'c'].map((tenantId) => appender.append(newEntry(tenantId)));
    void outcomes(held);
    await turns(20);
    expect(await appender.append(newEntry('free'))).toEqual({ tenantId: 'free', seq: 3 });
    expect(appender.queued).toBe(3);
  });

  test('gives up its own log in time, which goes on when it comes again', async () => {
    let hangs = true;
    const { appender } = openAppender({ ...SOON, floor: () => (hangs ? never : undefined) });
    expect(await outcomes(newEntries('a', 2).map((entry) => appender.append(entry)))).toEqual([GIVEN_UP, GIVEN_UP]);
    expect(appender.queued).toBe(0);
    hangs = false;
    const retried = async (): Promise<unknown> => (await outcomes([appender.append(newEntry('a'))]))[0];
    await expect.poll(retried).toMatchObject({ tenantId: 'a' });
  });
});

describe('a store that never answers', () => {
  test.each(['append', 'appendInTurn', 'entryHashes', 'head'] as const)('to %s: all is given up', async (method) => {
    const { appender, store } = openAppender(SOON);
    await appender.append(newEntry('a'));
    await store.appendInTurn([newEntry('a')], []);
    let first = true;
    store.fate = (call) => {
      // The head is read of a log that nothing is known of, after a failure.
      if (method !== 'head' || call.method !== 'append') return 'done';
      first = false;
      return new Error('refused');
    };
    store.latency = (call) => (call.method === method ? never : turns(1));
    const appends = [newEntry('a'), newEntry(method === 'head' ? 'new' : 'a')].map((entry) => appender.append(entry));
    const found = outcomes(appends);
    const closed = appender.close();
    expect((await found).at(-1)).toBe(GIVEN_UP);
    await closed;
    expect([appender.queued, first]).toEqual([0, method !== 'head']);
  });

  test('those who come later are given up as well, and none of it is lost count of', async () => {
    const { appender, store } = openAppender(SOON);
    store.latency = () => never;
    const early = outcomes([appender.append(newEntry('a'))]);
    await turns(5);
    const later = outcomes([appender.append(newEntry('a')), appender.append(newEntry('b'))]);
    expect([...(await early), ...(await later)]).toEqual([GIVEN_UP, GIVEN_UP, GIVEN_UP]);
    expect(appender.queued).toBe(0);
    await appender.close();
  });
});

test('a write that comes back after it was given up gives no second answer, and the log goes on behind it', async () => {
  const { appender, store, clock } = openAppender({ giveUpMs: 40 });
  await appender.append(newEntry('a'));
  let go = (): void => {};
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  store.latency = () => gate;
  const early = outcomes([appender.append(newEntry('a'))]);
  await turns(5);
  clock.ms = 41;
  expect(await early).toEqual([GIVEN_UP]);
  expect(appender.queued).toBe(0);
  const next = appender.append(newEntry('a'));
  go();
  expect(await next).toEqual({ tenantId: 'a', seq: 3 });
  expect(await wholeLog(store, 'a')).toHaveLength(3);
});
