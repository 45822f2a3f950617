import { KmsError } from '@minikms/crypto-core';
import { describe, expect, test } from 'vitest';
import { newSubject, type Batch, type NewEntry, type Outcome, type Subject } from '../src/index.ts';
import { type Fate, MemoryAuditStore } from '../src/testing.ts';
import { callsOf, checkLog, newEntries, newEntry, openAppender, outcomes, turns, wholeLog } from './appender-cases.ts';

/** Gives the first calls of a method these fates. */
function fates(store: MemoryAuditStore, method: string, list: readonly Fate[]): void {
  const left = [...list];
  store.fate = (call) => (call.method === method ? (left.shift() ?? 'done') : 'done');
}

/** Refuses entries with these details, as a database does that cannot store them. */
class PickyStore extends MemoryAuditStore {
  refused = 'refused';

  override async append(batches: readonly Batch[], subjects: readonly Subject[]): Promise<readonly Outcome[]> {
    this.#check(batches.flatMap(({ entries }) => entries));
    return super.append(batches, subjects);
  }

  override async appendInTurn(
    entries: readonly NewEntry[],
    subjects: readonly Subject[],
  ): ReturnType<MemoryAuditStore['appendInTurn']> {
    this.#check(entries);
    return super.appendInTurn(entries, subjects);
  }

  #check(entries: readonly NewEntry[]): void {
    if (entries.some(({ details }) => details === this.refused)) throw new Error('invalid byte sequence');
  }
}

describe('a write of which the outcome is not known', () => {
  const cases: readonly (readonly [string, string, readonly Fate[]])[] = [
    ['append', 'had no effect', ['lost before']],
    ['append', 'had its effect', ['lost after']],
    ['append', 'has its effect later', ['late']],
    ['append', 'had no effect, three times', ['lost before', 'lost before', 'lost before']],
    ['append', 'had its effect, and so had the next', ['lost after', 'lost after']],
    ['append', 'has its effect while it is tried again', ['late', 'late', 'lost before']],
  ];

  test.each(cases)('%s %s', async (method, _, list) => {
    const { store, appender } = openAppender();
    await appender.append(newEntry('a'));
    fates(store, method, list);
    const entries = [...newEntries('a', 3), ...newEntries('b', 2)];
    const positions = await Promise.all(entries.map((entry) => appender.append(entry)));
    await turns();
    await checkLog(
      store,
      entries.map((entry, i) => [entry, positions[i]!]),
    );
    expect(await appender.append(newEntry('a'))).toMatchObject({ tenantId: 'a' });
  });

  test.each([
    ['had no effect', 'lost before', 0],
    ['had its effect', 'lost after', 1],
    ['has its effect later', 'late', 1],
  ] as const)('in turn %s: it is not tried again, as it may still wait for its log', async (_, fate, times) => {
    const { store, appender } = openAppender();
    // Known to the appender and written by another: this goes by append, and then in turn.
    await appender.append(newEntry('a'));
    await store.appendInTurn(newEntries('a', 2), []);
    fates(store, 'appendInTurn', [fate]);
    const entries = newEntries('a', 3);
    const found = await outcomes(entries.map((entry) => appender.append(entry)));
    await turns();
    expect(found).toEqual(Array.from({ length: 3 }, () => 'STORE_UNAVAILABLE'));
    const log = await wholeLog(store, 'a');
    for (const entry of entries) {
      expect(log.filter(({ details }) => details === entry.details)).toHaveLength(times);
    }
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: log.length + 1 });
    expect(appender.queued).toBe(0);
  });

  test('another wrote after it was on disk: it is found there', async () => {
    const { store, appender } = openAppender();
    await appender.append(newEntry('a'));
    let appends = 0;
    store.fate = ({ method }) => {
      if (method !== 'append') return 'done';
      appends += 1;
      if (appends === 2) void store.appendInTurn(newEntries('a', 4), []);
      return appends === 1 ? 'lost after' : 'done';
    };
    const entries = newEntries('a', 3);
    const positions = await Promise.all(entries.map((entry) => appender.append(entry)));
    expect(positions.map(({ seq }) => seq)).toEqual([2, 3, 4]);
    await checkLog(
      store,
      entries.map((entry, i) => [entry, positions[i]!]),
    );
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 9 });
  });

  test('another wrote before it was: it is appended again', async () => {
    const { store, appender } = openAppender();
    await appender.append(newEntry('a'));
    await store.appendInTurn(newEntries('a', 1), []);
    fates(store, 'append', ['lost before']);
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 3 });
    expect(await wholeLog(store, 'a')).toHaveLength(3);
  });

  test('its subjects are sent again', async () => {
    const { store, appender } = openAppender();
    const ann = newSubject('a', 'member', 'ann');
    fates(store, 'append', ['lost before', 'lost before']);
    await appender.append(newEntry('a'), [ann]);
    expect(store.subjects.get(ann.id)).toEqual(ann);
  });

  test('what is read about it may fail too', async () => {
    const { store, appender } = openAppender();
    await appender.append(newEntry('a'));
    let calls = 0;
    store.fate = ({ method }) => {
      calls += 1;
      return calls > 8 ? 'done' : method === 'append' ? 'lost after' : 'lost before';
    };
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 2 });
    expect(await wholeLog(store, 'a')).toHaveLength(2);
  });
});

describe('an outage', () => {
  test('rejects what waited so long, with the error of the store, and then goes on', async () => {
    const { store, appender, clock } = openAppender({ giveUpMs: 1000 });
    await appender.append(newEntry('a'));
    store.down = true;
    const early = [...newEntries('a', 2), ...newEntries('b', 2)].map((entry) => appender.append(entry));
    const found = outcomes(early);
    await turns();
    clock.ms = 900;
    const later = appender.append(newEntry('a'));
    await turns();
    clock.ms = 1001;
    expect(await found).toEqual(Array.from({ length: 4 }, () => 'STORE_UNAVAILABLE'));
    expect(appender.queued).toBe(1);
    store.down = false;
    expect((await later).seq).toBeGreaterThan(1);
    expect(await appender.append(newEntry('b'))).toMatchObject({ tenantId: 'b' });
    await wholeLog(store, 'a');
    await wholeLog(store, 'b');
  });

  test('what was given up is not written later, when it is known that it was not', async () => {
    const { store, appender, clock } = openAppender({ giveUpMs: 1000 });
    await appender.append(newEntry('a'));
    let down = true;
    store.fate = ({ method }) => (down && method === 'append' ? 'lost before' : 'done');
    const [old, another, recent] = newEntries('a', 3) as [NewEntry, NewEntry, NewEntry];
    const early = outcomes([appender.append(old)]);
    clock.ms = 900;
    const later = appender.append(recent);
    await turns();
    clock.ms = 1001;
    expect(await early).toEqual(['STORE_UNAVAILABLE']);
    await store.appendInTurn([another], []);
    down = false;
    expect(await later).toEqual({ tenantId: 'a', seq: 3 });
    expect((await wholeLog(store, 'a')).slice(1).map(({ details }) => details)).toEqual(
      [another, recent].map(({ details }) => details),
    );
    expect(appender.queued).toBe(0);
  });

  test('of many tenants is over for all when it is over', async () => {
    const { store, appender } = openAppender();
    store.down = true;
    const entries = Array.from({ length: 100 }, (_, i) => newEntry(`t-${i}`));
    const appends = entries.map((entry) => appender.append(entry));
    await turns();
    store.down = false;
    expect(await Promise.all(appends)).toEqual(entries.map(({ tenantId }) => ({ tenantId, seq: 1 })));
  });

  test('of the directory of checkpoints is one too', async () => {
    let down = true;
    const { appender, store, clock } = openAppender({
      giveUpMs: 1000,
      floor: () => (down ? Promise.reject(new KmsError('STORE_UNAVAILABLE', 'no directory')) : undefined),
    });
    const found = outcomes([appender.append(newEntry('a'))]);
    await turns();
    clock.ms = 1001;
    expect(await found).toEqual(['STORE_UNAVAILABLE']);
    expect(await wholeLog(store, 'a')).toHaveLength(0);
    down = false;
    expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 1 });
  });
});

describe('one bad tenant does not hold up the others', () => {
  test('whose log is held by somebody else', async () => {
    const { store, appender } = openAppender();
    await Promise.all(['a', 'b'].map((tenantId) => appender.append(newEntry(tenantId))));
    const release = await store.hold('a');
    const held = newEntries('a', 3).map((entry) => appender.append(entry));
    for (let i = 2; i < 12; i += 1) expect(await appender.append(newEntry('b'))).toEqual({ tenantId: 'b', seq: i });
    expect(appender.queued).toBe(3);
    await release();
    expect((await Promise.all(held)).map(({ seq }) => seq)).toEqual([2, 3, 4]);
  });

  test('whose log others write at the moment, and one that is held', async () => {
    const { store, appender } = openAppender({ maxInTurn: 2 });
    await Promise.all(['a', 'b'].map((tenantId) => appender.append(newEntry(tenantId))));
    const release = await store.hold('a');
    const held = appender.append(newEntry('a'));
    for (let i = 0; i < 5; i += 1) {
      await store.appendInTurn(newEntries('b', 1), []);
      expect(await appender.append(newEntry('b'))).toMatchObject({ tenantId: 'b', seq: 3 + 2 * i });
    }
    await release();
    expect(await held).toEqual({ tenantId: 'a', seq: 2 });
  });

  test('for which the store is never there', async () => {
    const { store, appender, clock } = openAppender({ giveUpMs: 1000 });
    store.fate = ({ tenantIds }) => (tenantIds.includes('bad') ? 'lost before' : 'done');
    const bad = outcomes(newEntries('bad', 3).map((entry) => appender.append(entry)));
    for (let i = 1; i < 10; i += 1) {
      expect(await appender.append(newEntry('b'))).toEqual({ tenantId: 'b', seq: i });
    }
    clock.ms = 1001;
    expect(await bad).toEqual(Array.from({ length: 3 }, () => 'STORE_UNAVAILABLE'));
    expect(appender.queued).toBe(0);
  });

  test('for which the store fails in turn: its error is not that of another', async () => {
    const { store, appender, clock } = openAppender({ giveUpMs: 1000, maxInTurn: 1 });
    await Promise.all(['a', 'b'].map((tenantId) => appender.append(newEntry(tenantId))));
    await Promise.all(['a', 'b'].map((tenantId) => store.appendInTurn([newEntry(tenantId)], [])));
    store.fate = ({ method, tenantIds }) => {
      if (method !== 'appendInTurn' || !tenantIds.includes('a')) return 'done';
      clock.ms = 1001;
      return new KmsError('STORE_UNAVAILABLE', 'what is wrong with a');
    };
    const errors = ['a', 'b'].map((tenantId) =>
      appender.append(newEntry(tenantId)).catch(({ message }: Error) => message),
    );
    expect(await Promise.all(errors)).toEqual(['what is wrong with a', 'the audit log did not take an entry in time']);
  });

  test('whose data is refused: only that entry is', async () => {
    const { store, appender } = openAppender({ store: new PickyStore() });
    const entries = [
      ...newEntries('a', 3),
      ...newEntries('bad', 2),
      newEntry('bad', { details: 'refused' }),
      ...newEntries('bad', 2),
    ];
    const found = await outcomes(entries.map((entry) => appender.append(entry)));
    expect(found).toEqual([
      ...[1, 2, 3].map((seq) => ({ tenantId: 'a', seq })),
      ...[1, 2].map((seq) => ({ tenantId: 'bad', seq })),
      'invalid byte sequence',
      ...[3, 4].map((seq) => ({ tenantId: 'bad', seq })),
    ]);
    expect(await wholeLog(store, 'bad')).toHaveLength(4);
    const before = callsOf(store, 'append');
    await Promise.all(newEntries('bad', 20).map((entry) => appender.append(entry)));
    expect(callsOf(store, 'append')).toBe(before + 1);
  });

  test('whose data is refused after a write was lost', async () => {
    const { store, appender } = openAppender({ store: new PickyStore() });
    store.fate = ({ method }) => (method === 'append' ? 'lost before' : 'done');
    const entries = [...newEntries('bad', 2), newEntry('bad', { details: 'late' })];
    const appends = outcomes(entries.map((entry) => appender.append(entry)));
    await turns(5);
    (store as PickyStore).refused = 'late';
    store.fate = () => 'done';
    expect(await appends).toEqual(
      [1, 2].map((seq) => ({ tenantId: 'bad', seq })).concat(['invalid byte sequence'] as never),
    );
  });
});
