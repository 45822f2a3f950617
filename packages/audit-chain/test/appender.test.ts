import { describe, expect, test } from 'vitest';
import { MAX_BYTES, newSubject } from '../src/index.ts';
import { callsOf, checkLog, newEntries, newEntry, openAppender, outcomes, turns, wholeLog } from './appender-cases.ts';

describe('group commit', () => {
  test('entries of many new tenants take one trip, and each gets its position', async () => {
    const { store, appender } = openAppender();
    const entries = Array.from({ length: 60 }, (_, i) => newEntry(`tenant-${i % 20}`));
    const positions = await Promise.all(entries.map((entry) => appender.append(entry)));
    expect(positions).toEqual(entries.map(({ tenantId }, i) => ({ tenantId, seq: Math.floor(i / 20) + 1 })));
    expect(store.calls.map(({ method }) => method)).toEqual(['append']);
    await checkLog(
      store,
      entries.map((entry, i) => [entry, positions[i]!]),
    );
  });

  test('what arrives while a write is on its way goes together in the next', async () => {
    const { store, appender } = openAppender();
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    store.latency = () => gate;
    const first = appender.append(newEntry('a'));
    await turns();
    const rest = [...newEntries('a', 5), ...newEntries('b', 5), ...newEntries('c', 5)].map((one) =>
      appender.append(one),
    );
    await turns();
    expect(store.calls).toEqual([{ method: 'append', tenantIds: ['a'] }]);
    go();
    await Promise.all([first, ...rest]);
    expect(store.calls.slice(1)).toEqual([{ method: 'append', tenantIds: ['b', 'c', 'a'] }]);
  });

  test('a log of which nothing is known takes a second trip, and none after that', async () => {
    const { store, appender } = openAppender();
    await store.appendInTurn(newEntries('a', 7), []);
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 8 });
    expect(callsOf(store, 'append')).toBe(2);
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 9 });
    expect(callsOf(store, 'append')).toBe(3);
    expect(await wholeLog(store, 'a')).toHaveLength(9);
  });

  test('a log that another wrote in between is appended to in turn once, and in groups again', async () => {
    const { store, appender } = openAppender();
    await appender.append(newEntry('a'));
    await store.appendInTurn(newEntries('a', 3), []);
    store.calls.length = 0;
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 5 });
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 6 });
    // The read tells whether the entry stands there still that was the last one.
    const methods = store.calls.map(({ method }) => method);
    expect(methods).toEqual(['append', 'entryHashes', 'appendInTurn', 'append']);
  });

  test('the ends of so many logs are remembered, of the others none', async () => {
    const { store, appender } = openAppender({ maxLogs: 2 });
    const trips = async (tenantId: string): Promise<number> => {
      const before = callsOf(store, 'append');
      await appender.append(newEntry(tenantId));
      return callsOf(store, 'append') - before;
    };
    for (const tenantId of ['a', 'b']) await trips(tenantId);
    expect([await trips('a'), await trips('c')]).toEqual([1, 1]);
    // b is the one that was not used for longest.
    expect([await trips('a'), await trips('c'), await trips('b')]).toEqual([1, 1, 2]);
  });

  test('however few logs are remembered, a log has one batch in a write', async () => {
    const { store, appender } = openAppender({ maxLogs: 1 });
    const entries = Array.from({ length: 40 }, (_, i) => newEntry(`tenant-${i % 4}`));
    const positions = await Promise.all(entries.map((entry) => appender.append(entry)));
    expect(store.calls).toEqual([{ method: 'append', tenantIds: ['tenant-0', 'tenant-1', 'tenant-2', 'tenant-3'] }]);
    await checkLog(
      store,
      entries.map((entry, i) => [entry, positions[i]!]),
    );
  });

  test('a tenant with much to write leaves room for the others in each write', async () => {
    const { store, appender } = openAppender();
    const hot = newEntries('hot', 1000).map((entry) => appender.append(entry));
    const cold = Array.from({ length: 10 }, (_, i) => appender.append(newEntry(`cold-${i}`)));
    await Promise.all([...cold, ...hot]);
    expect(store.calls[0]?.tenantIds).toHaveLength(11);
    expect(callsOf(store, 'append')).toBe(4);
    expect(await wholeLog(store, 'hot')).toHaveLength(1000);
  });

  test('a write has at most 1000 entries and about 4 MiB', async () => {
    const { store, appender } = openAppender();
    const sizes: number[] = [];
    const append = store.append.bind(store);
    store.append = (batches, subjects) => {
      sizes.push(batches.reduce((sum, { entries }) => sum + entries.length, 0));
      return append(batches, subjects);
    };
    await Promise.all(Array.from({ length: 2500 }, (_, i) => appender.append(newEntry(`t-${i % 500}`))));
    expect(sizes).toEqual([1000, 1000, 500]);
    sizes.length = 0;
    const details = 'x'.repeat(MAX_BYTES.details);
    await Promise.all(Array.from({ length: 500 }, (_, i) => appender.append(newEntry(`t-${i % 250}`, { details }))));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(256);
  });

  test('subjects go with the entries that name them, each once', async () => {
    const { store, appender } = openAppender();
    const [ann, bob] = [newSubject('a', 'member', 'ann'), newSubject('b', 'member', 'bob')];
    let sent: readonly unknown[] = [];
    const append = store.append.bind(store);
    store.append = (batches, subjects) => {
      sent = subjects;
      return append(batches, subjects);
    };
    const appends = [
      appender.append(newEntry('a'), [ann]),
      appender.append(newEntry('a'), [ann]),
      appender.append(newEntry('b'), [bob]),
      appender.append(newEntry('b')),
    ];
    await Promise.all(appends);
    expect(sent).toEqual([ann, bob]);
    expect([...store.subjects.values()]).toEqual([ann, bob]);
  });
});

describe('what is refused', () => {
  test.each([
    ['no tenant', { tenantId: '' }],
    ['a long tenant', { tenantId: 'x'.repeat(129) }],
    ['no action', { action: '' }],
    ['long details', { details: 'x'.repeat(16_385) }],
    ['details that are long in UTF-8', { details: '€'.repeat(5462) }],
    ['a long actor', { actorId: 'é'.repeat(129) }],
    ['a lone surrogate', { details: '\ud800' }],
    ['a timestamp that is no integer', { timestampUs: 1.5 }],
    ['a timestamp that is not exact', { timestampUs: 2 ** 53 }],
    ['a hash that is none', { requestJwtHash: new Uint8Array(31) }],
  ])('%s, before anything is written', async (_, change) => {
    const { store, appender } = openAppender();
    expect(await outcomes([appender.append({ ...newEntry('a'), ...change })])).toEqual(['ENTRY_INVALID']);
    await turns();
    expect([store.calls, appender.queued]).toEqual([[], 0]);
  });

  test('what is more than an eighth of the queue for one tenant, at once', async () => {
    const { appender, store } = openAppender({ maxQueued: 32 });
    const appends = newEntries('a', 6).map((entry) => appender.append(entry));
    appends.push(appender.append(newEntry('b')));
    expect(appender.queued).toBe(5);
    const found = await outcomes(appends);
    expect(found.slice(4)).toEqual(['AUDIT_QUEUE_FULL', 'AUDIT_QUEUE_FULL', { tenantId: 'b', seq: 1 }]);
    expect(await wholeLog(store, 'a')).toHaveLength(4);
    expect([appender.queued, await appender.append(newEntry('a'))]).toEqual([0, { tenantId: 'a', seq: 5 }]);
  });

  test('what is more than the queue, of all tenants, in a write on its way or not', async () => {
    const { appender } = openAppender({ maxQueued: 16 });
    const appends = [1, 2, 3, 4, 5, 6, 7].flatMap((i) => newEntries(`t-${i}`, 2).map((one) => appender.append(one)));
    await turns(1);
    appends.push(...newEntries('new', 3).map((one) => appender.append(one)));
    const found = await outcomes(appends);
    expect(found.filter((one) => one === 'AUDIT_QUEUE_FULL')).toHaveLength(1);
    expect(found.at(-1)).toBe('AUDIT_QUEUE_FULL');
  });

  test('what is more than the bytes of the queue', async () => {
    const { appender } = openAppender({ maxQueuedBytes: 8 * 20_000 });
    const large = (): Promise<unknown> => appender.append(newEntry('a', { details: 'x'.repeat(16_384) }));
    const [one, two] = [large(), large()];
    await expect(two).rejects.toMatchObject({ code: 'AUDIT_QUEUE_FULL' });
    await one;
    expect(await large()).toEqual({ tenantId: 'a', seq: 2 });
  });
});

describe('close', () => {
  test('writes what waits, then refuses', async () => {
    const { store, appender } = openAppender();
    const appends = [...newEntries('a', 500), ...newEntries('b', 500)].map((entry) => appender.append(entry));
    const closed = appender.close();
    expect(await outcomes([appender.append(newEntry('a'))])).toEqual(['AUDIT_CLOSED']);
    await closed;
    expect(appender.queued).toBe(0);
    expect((await outcomes(appends)).every((one) => typeof one === 'object')).toBe(true);
    expect(await wholeLog(store, 'a')).toHaveLength(500);
    const { length } = store.calls;
    await Promise.all([appender.close(), turns()]);
    expect(store.calls).toHaveLength(length);
  });

  test('with nothing to write', async () => {
    const { store, appender } = openAppender();
    await appender.close();
    expect(store.calls).toEqual([]);
  });

  test('waits through an outage', async () => {
    const { store, appender } = openAppender();
    store.down = true;
    const append = appender.append(newEntry('a'));
    const closed = appender.close();
    await turns();
    expect(appender.queued).toBe(1);
    store.down = false;
    await closed;
    expect(await append).toEqual({ tenantId: 'a', seq: 1 });
  });
});
