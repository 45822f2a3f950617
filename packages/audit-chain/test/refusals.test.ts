import { describe, expect, test } from 'vitest';
import { type NewEntry, Refusals, type Subject, SubjectCache, verifySubject } from '../src/index.ts';
import { sourceGroup } from '../src/refusals.ts';
import { newEntries, openAppender, turns, wholeLog } from './appender-cases.ts';

const AT = 1_767_225_600_000_000;

interface Emitted {
  readonly entry: NewEntry;
  readonly subjects: readonly Subject[];
}

function open(options: { maxGroups?: number; emit?: () => Promise<unknown> } = {}): {
  refusals: Refusals;
  emitted: Emitted[];
  add: (action: string, code: string, source: string, atUs?: number) => void;
} {
  const emitted: Emitted[] = [];
  const refusals = new Refusals({
    tenantId: '_system',
    subjects: new SubjectCache(100),
    ...options,
    emit: async (entry, subjects) => {
      await options.emit?.();
      emitted.push({ entry, subjects });
    },
  });
  const add = (action: string, code: string, source: string, atUs = AT): void =>
    refusals.add({ action, code, source, atUs });
  return { refusals, emitted, add };
}

/** What the entries say, by what they count. */
function counts(emitted: readonly Emitted[]): readonly unknown[] {
  return emitted.map(({ entry }) => {
    const { outcome, count, source } = JSON.parse(entry.details) as Record<string, unknown>;
    return [entry.action, outcome, count, typeof source];
  });
}

describe('refusals are counted', () => {
  test('by action, code and source, in an entry for each', async () => {
    const { refusals, emitted, add } = open();
    add('kms.encrypt', 'UNAUTHENTICATED', '192.0.2.1', AT + 5);
    add('kms.encrypt', 'UNAUTHENTICATED', '192.0.2.1', AT);
    add('kms.encrypt', 'UNAUTHENTICATED', '192.0.2.1', AT + 9);
    add('kms.decrypt', 'UNAUTHENTICATED', '192.0.2.1');
    add('kms.encrypt', 'RESOURCE_EXHAUSTED', '192.0.2.1');
    add('kms.encrypt', 'UNAUTHENTICATED', '192.0.2.2');
    add('kms.encrypt', 'UNAUTHENTICATED', '');
    expect(refusals.pending).toBe(7);
    await refusals.flush();
    expect(counts(emitted)).toEqual([
      ['kms.encrypt', 'UNAUTHENTICATED', 3, 'string'],
      ['kms.decrypt', 'UNAUTHENTICATED', 1, 'string'],
      ['kms.encrypt', 'RESOURCE_EXHAUSTED', 1, 'string'],
      ['kms.encrypt', 'UNAUTHENTICATED', 1, 'string'],
      ['kms.encrypt', 'UNAUTHENTICATED', 1, 'undefined'],
    ]);
    const { entry, subjects } = emitted[0]!;
    const id = subjects[0]!.id;
    expect(entry).toEqual({
      tenantId: '_system',
      timestampUs: AT + 9,
      action: 'kms.encrypt',
      actorId: '',
      details: `{"outcome":"UNAUTHENTICATED","count":3,"since_us":${AT},"source":"${id}"}`,
      requestJwtHash: new Uint8Array(0),
    });
    expect(verifySubject(id, subjects[0]!.salt, '192.0.2.1')).toBe(true);
    expect(refusals.pending).toBe(0);
    await refusals.flush();
    expect(emitted).toHaveLength(5);
  });

  test('with their source as a subject, sent until it is stored', async () => {
    let fails = true;
    const { refusals, emitted, add } = open({
      emit: async () => {
        if (fails) throw new Error('down');
      },
    });
    for (let i = 0; i < 3; i += 1) {
      add('kms.encrypt', 'UNAUTHENTICATED', '192.0.2.1');
      await refusals.flush();
      fails = false;
    }
    expect(emitted.map(({ subjects }) => subjects.length)).toEqual([1, 0]);
    expect(counts(emitted)).toEqual([
      ['kms.encrypt', 'UNAUTHENTICATED', 2, 'string'],
      ['kms.encrypt', 'UNAUTHENTICATED', 1, 'string'],
    ]);
  });
});

describe('memory is bounded', () => {
  test('groups beyond the limit lose their source, then their action', async () => {
    const { refusals, emitted, add } = open({ maxGroups: 3 });
    for (let i = 0; i < 1000; i += 1) add(`rpc.${i % 10}`, 'UNAUTHENTICATED', `192.0.2.${i % 250}`);
    await refusals.flush();
    const found = counts(emitted);
    expect(found).toHaveLength(7);
    expect(found.filter((one) => (one as unknown[])[3] === 'string')).toHaveLength(3);
    expect(found.at(-1)).toEqual(['refused', 'OTHER', expect.any(Number), 'undefined']);
    expect(found.reduce((sum: number, one) => sum + Number((one as unknown[])[2]), 0)).toBe(1000);
  });

  test('a source that is too long or no text is left out', async () => {
    const { refusals, emitted, add } = open();
    add('kms.encrypt', 'UNAUTHENTICATED', 'x'.repeat(257));
    add('kms.encrypt', 'UNAUTHENTICATED', '\ud800');
    await refusals.flush();
    expect(counts(emitted)).toEqual([['kms.encrypt', 'UNAUTHENTICATED', 2, 'undefined']]);
  });
});

describe('a source', () => {
  test.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['[::ffff:c000:201]', '192.0.2.1'],
    ['2001:db8:0:1::', '2001:db8:0:1::/64'],
    ['2001:0DB8::1:ffff:192.0.2.1', '2001:db8:0:0::/64'],
    ['2001:db8:0:1:2:3:4:5', '2001:db8:0:1::/64'],
    ['[2001:db8:0:1:ffff::]', '2001:db8:0:1::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['1::2:3:4:5:6:7', '1:0:2:3::/64'],
    ['::ffff:0:192.0.2.1', '0:0:0:0::/64'],
    ['2001:db8::1::2', '2001:db8::1::2'],
    ['[nobody]', '[nobody]'],
    ['gateway:80', 'gateway:80'],
    ['', ''],
  ])('%s is counted under %s', (source, group) => {
    expect(sourceGroup(source)).toBe(group);
  });

  test('with a network of its own takes one group, not the places of the others', async () => {
    const { refusals, emitted, add } = open();
    for (let i = 0; i < 100; i += 1) add('kms.encrypt', 'UNAUTHENTICATED', `2001:db8::${i.toString(16)}`);
    for (let i = 0; i < 100; i += 1) add('kms.decrypt', 'UNAUTHENTICATED', `192.0.2.${i}`);
    await refusals.flush();
    expect(counts(emitted)).toHaveLength(33);
    expect(counts(emitted)[0]).toEqual(['kms.encrypt', 'UNAUTHENTICATED', 100, 'string']);
    expect(counts(emitted).at(-1)).toEqual(['kms.decrypt', 'UNAUTHENTICATED', 69, 'undefined']);
  });
});

describe('an outage', () => {
  test('loses no count, and joins what it held up', async () => {
    let down = true;
    const { refusals, emitted, add } = open({
      emit: async () => {
        if (down) throw new Error('down');
      },
    });
    for (let second = 0; second < 5; second += 1) {
      add('kms.encrypt', 'UNAUTHENTICATED', '192.0.2.1', AT + second);
      add('kms.decrypt', 'UNAUTHENTICATED', '', AT + second);
      await refusals.flush();
    }
    expect([refusals.pending, emitted.length]).toEqual([10, 0]);
    down = false;
    await refusals.flush();
    expect(counts(emitted)).toEqual([
      ['kms.encrypt', 'UNAUTHENTICATED', 5, 'string'],
      ['kms.decrypt', 'UNAUTHENTICATED', 5, 'undefined'],
    ]);
    expect(emitted[0]?.entry).toMatchObject({ timestampUs: AT + 4, details: expect.stringContaining(`:${AT},`) });
    expect(refusals.pending).toBe(0);
  });

  test('a slow log has one flush under way and one waiting, and counts what comes meanwhile', async () => {
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    let calls = 0;
    const { refusals, emitted, add } = open({
      emit: () => {
        calls += 1;
        return gate;
      },
    });
    add('kms.encrypt', 'UNAUTHENTICATED', 'a');
    const first = refusals.flush();
    await turns(2);
    add('kms.encrypt', 'UNAUTHENTICATED', 'a');
    const rest = [refusals.flush(), refusals.flush(), refusals.flush()];
    add('kms.encrypt', 'UNAUTHENTICATED', 'a');
    await turns(2);
    expect([calls, refusals.pending]).toEqual([1, 3]);
    go();
    await Promise.all([first, ...rest]);
    expect(counts(emitted).map((one) => (one as unknown[])[2])).toEqual([1, 2]);
  });
});

test('they are written by an appender, and a full queue holds them back only', async () => {
  const { store, appender } = openAppender({ maxQueued: 16 });
  const refusals = new Refusals({
    tenantId: '_system',
    subjects: new SubjectCache(100),
    emit: (entry, subjects) => appender.append(entry, subjects),
  });
  const busy = Array.from({ length: 8 }, (_, i) =>
    newEntries(`t-${i}`, 2).map((entry) => appender.append(entry)),
  ).flat();
  for (let i = 0; i < 100; i += 1) refusals.add({ action: 'kms.encrypt', code: 'DENIED', source: 'a', atUs: AT });
  await refusals.flush();
  expect(refusals.pending).toBe(100);
  await Promise.all(busy);
  await refusals.flush();
  await appender.close();
  expect((await wholeLog(store, '_system')).map(({ details }) => details)).toEqual([
    expect.stringContaining('"count":100'),
  ]);
  expect(store.subjects.size).toBe(1);
});
