import { describe, expect, test } from 'vitest';
import type { Position } from '../src/index.ts';
import {
  callsOf,
  newEntries,
  newEntry,
  openAppender,
  outcomes,
  turns,
  wholeLog,
  type Fixture,
} from './appender-cases.ts';

const BEHIND = 'AUDIT_LOG_BEHIND';

async function fill({ appender }: Fixture, tenantId: string, count: number): Promise<readonly Position[]> {
  return Promise.all(newEntries(tenantId, count).map((entry) => appender.append(entry)));
}

describe('a log that lost entries', () => {
  test('gets no other, and neither does any log until it has a new epoch', async () => {
    const fixture = openAppender();
    const { store, appender, incidents } = fixture;
    await fill(fixture, 'a', 10);
    store.rollBack('a', 5);
    expect(await outcomes([appender.append(newEntry('a')), appender.append(newEntry('a'))])).toEqual([BEHIND, BEHIND]);
    expect(await wholeLog(store, 'a')).toHaveLength(5);
    expect(incidents).toEqual([{ tenantId: 'a', epoch: 1, reason: expect.stringContaining('tenant a') }]);
    expect(appender.incident).toBe(incidents[0]);

    expect(await outcomes([appender.append(newEntry('b'))])).toEqual([BEHIND]);
    expect(await appender.recheck()).toBe(false);
    expect(await outcomes([appender.append(newEntry('a'))])).toEqual([BEHIND]);
    expect(incidents).toHaveLength(1);

    await store.openEpoch(2, newEntry('a'));
    expect(await appender.recheck()).toBe(true);
    expect(appender.incident).toBeUndefined();
    expect(await outcomes(['a', 'b', 'a'].map((tenantId) => appender.append(newEntry(tenantId))))).toEqual([
      { tenantId: 'a', seq: 7 },
      { tenantId: 'b', seq: 1 },
      { tenantId: 'a', seq: 8 },
    ]);
    await wholeLog(store, 'a');
  });

  test('may go on from what is left when that was decided for one: the others were put back with it', async () => {
    const fixture = openAppender();
    const { store, appender } = fixture;
    await Promise.all([fill(fixture, 'a', 4), fill(fixture, 'b', 4)]);
    store.rollBack('a', 2);
    store.rollBack('b', 3);
    expect(await outcomes([appender.append(newEntry('a'))])).toEqual([BEHIND]);
    await store.openEpoch(2, newEntry('a'));
    expect(await appender.recheck()).toBe(true);
    expect(await appender.append(newEntry('b'))).toEqual({ tenantId: 'b', seq: 4 });
  });

  test('is noticed when it was emptied', async () => {
    const fixture = openAppender();
    await fill(fixture, 'a', 10);
    fixture.store.rollBack('a', 0);
    expect(await outcomes([fixture.appender.append(newEntry('a'))])).toEqual([BEHIND]);
    expect(await wholeLog(fixture.store, 'a')).toEqual([]);
  });

  test('is noticed when another entry took the place of the last', async () => {
    const fixture = openAppender();
    await fill(fixture, 'a', 10);
    fixture.store.rollBack('a', 9);
    await fixture.store.appendInTurn([newEntry('a')], []);
    expect(await outcomes([fixture.appender.append(newEntry('a'))])).toEqual([BEHIND]);
    expect(fixture.incidents[0]?.reason).toContain('another entry 10');
  });

  test('is noticed when others wrote past the end that it had', async () => {
    const fixture = openAppender();
    await fill(fixture, 'a', 10);
    fixture.store.rollBack('a', 5);
    await fixture.store.appendInTurn(newEntries('a', 20), []);
    expect(await outcomes([fixture.appender.append(newEntry('a'))])).toEqual([BEHIND]);
    expect(fixture.incidents[0]?.reason).toContain('another entry 10');
    expect(await wholeLog(fixture.store, 'a')).toHaveLength(25);
  });

  test.each([4, 5, 20])('is noticed in turn when others wrote %i entries in place of those it had', async (others) => {
    const fixture = openAppender();
    const { store, appender, incidents } = fixture;
    await fill(fixture, 'a', 9);
    await store.appendInTurn(newEntries('a', 1), []);
    // The head is compared, the log is put back and written, and then comes the append in turn.
    store.fate = ({ method }) => {
      if (method !== 'appendInTurn') return 'done';
      store.fate = () => 'done';
      store.rollBack('a', 5);
      void store.appendInTurn(newEntries('a', others), []);
      return 'done';
    };
    expect(await outcomes([appender.append(newEntry('a'))])).toEqual([BEHIND]);
    expect(incidents).toHaveLength(1);
  });

  test('is noticed after a lost write, when others wrote past where it was put back', async () => {
    const fixture = openAppender();
    const { store, appender } = fixture;
    await fill(fixture, 'a', 10);
    let calls = 0;
    store.fate = ({ method }) => {
      if (method !== 'append' || ++calls > 1) return 'done';
      store.rollBack('a', 5);
      void store.appendInTurn(newEntries('a', 20), []);
      return 'lost before';
    };
    expect(await outcomes([appender.append(newEntry('a'))])).toEqual([BEHIND]);
  });

  test('is noticed when its epoch went back, however many entries it has', async () => {
    const fixture = openAppender();
    const { store, appender } = fixture;
    await store.openEpoch(2, newEntry('a'));
    await fill(fixture, 'a', 2);
    store.rollBack('a', 0, 1);
    await store.appendInTurn(newEntries('a', 20), []);
    expect(await outcomes([appender.append(newEntry('a'))])).toEqual([BEHIND]);
    // The epoch that it had is not enough: what was signed for that is not what it has.
    await store.openEpoch(2, newEntry('a'));
    expect(await appender.recheck()).toBe(false);
    await store.openEpoch(3, newEntry('a'));
    expect(await appender.recheck()).toBe(true);
  });

  test('is noticed in turn, and those who wrote behind the gap are not answered', async () => {
    const fixture = openAppender();
    const { store, appender, incidents } = fixture;
    await fill(fixture, 'a', 10);
    await store.appendInTurn(newEntries('a', 1), []);
    // The head is compared, the log is put back, and then comes the append in turn.
    store.fate = ({ method }) => {
      if (method === 'appendInTurn') store.rollBack('a', 5);
      return 'done';
    };
    expect(await outcomes([appender.append(newEntry('a'))])).toEqual([BEHIND]);
    expect(incidents).toHaveLength(1);
  });
});

describe('a checkpoint that is known outside', () => {
  test('is compared with a log before the first entry is written', async () => {
    for (const [size, held] of [
      [5, 3],
      [1, 0],
    ] as const) {
      const fixture = openAppender({ floor: () => ({ epoch: 1, size }) });
      const { store, appender, incidents } = fixture;
      if (held > 0) await store.appendInTurn(newEntries('a', held), []);
      expect(await outcomes([appender.append(newEntry('a'))])).toEqual([BEHIND]);
      expect(await wholeLog(store, 'a')).toHaveLength(held);
      expect(incidents[0]).toMatchObject({ tenantId: 'a', epoch: 1 });
    }
  });

  test('lets a log go on that covers it, in one trip more, also when it is read from somewhere', async () => {
    for (const floor of [{ epoch: 1, size: 3 }, Promise.resolve({ epoch: 1, size: 2 })]) {
      const { store, appender } = openAppender({ floor: () => floor });
      await store.appendInTurn(newEntries('a', 3), []);
      expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 4 });
      expect(callsOf(store, 'append')).toBe(2);
    }
  });

  test('of an older epoch says nothing about a log that began anew', async () => {
    const { store, appender } = openAppender({ floor: () => ({ epoch: 1, size: 50 }) });
    await store.openEpoch(2, newEntry('a'));
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 2 });
  });

  test('is compared in turn as well', async () => {
    const floor = { epoch: 1, size: 1 };
    const { store, appender } = openAppender({ floor: () => floor });
    await store.appendInTurn(newEntries('a', 3), []);
    const release = await store.hold('a');
    const found = outcomes([appender.append(newEntry('a'))]);
    await turns();
    floor.size = 9;
    await release();
    expect(await found).toEqual([BEHIND]);
  });
});

describe('halt', () => {
  test('rejects who waits, and stops all appends until there is a new epoch', async () => {
    const fixture = openAppender();
    const { store, appender, incidents } = fixture;
    await fill(fixture, 'a', 2);
    const release = await store.hold('a');
    const waiting = outcomes([appender.append(newEntry('a')), appender.append(newEntry('b'))]);
    await turns();
    const found = outcomes(newEntries('a', 3).map((entry) => appender.append(entry)));
    appender.halt('a', 1, 'has another root than was signed');
    appender.halt('b', 7, 'is another');
    expect(await found).toEqual([BEHIND, BEHIND, BEHIND]);
    await release();
    // What was on its way is on disk, and is answered.
    expect(await waiting).toEqual([
      { tenantId: 'a', seq: 3 },
      { tenantId: 'b', seq: 1 },
    ]);
    expect(incidents).toEqual([
      { tenantId: 'a', epoch: 1, reason: 'the audit log of tenant a has another root than was signed' },
    ]);
    await store.openEpoch(2, newEntry('a'));
    expect([await appender.recheck(), await appender.recheck()]).toEqual([true, true]);
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 5 });
  });

  test('while a lost write is looked for: each caller is answered once', async () => {
    const { store, appender } = openAppender();
    await appender.append(newEntry('a'));
    store.fate = ({ method }) => (method === 'append' ? 'lost after' : 'done');
    const found = outcomes([appender.append(newEntry('a'))]);
    store.latency = async ({ method }) => {
      await turns(1);
      if (method === 'entryHashes' && appender.incident === undefined) appender.halt('a', 1, 'was forked');
    };
    await turns(5);
    store.fate = () => 'done';
    expect(await found).toEqual([BEHIND]);
    await appender.close();
    expect(appender.queued).toBe(0);
  });

  test('an appender can be closed during an incident', async () => {
    const fixture = openAppender();
    await fill(fixture, 'a', 2);
    fixture.store.down = true;
    const found = outcomes([fixture.appender.append(newEntry('a')), fixture.appender.append(newEntry('b'))]);
    await turns();
    fixture.appender.halt('a', 1, 'was forked');
    await fixture.appender.close();
    expect(await found).toEqual([BEHIND, BEHIND]);
  });
});
