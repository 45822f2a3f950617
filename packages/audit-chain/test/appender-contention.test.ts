import { expect, test } from 'vitest';
import type { NewEntry, Position } from '../src/index.ts';
import { MemoryAuditStore } from '../src/testing.ts';
import { callsOf, checkLog, newEntry, openAppender, wholeLog } from './appender-cases.ts';

const SERVERS = 4;

test('many servers write one hot log: no gap, no fork, and each gets its share', async () => {
  const store = new MemoryAuditStore();
  const servers = Array.from({ length: SERVERS }, () => openAppender({ store }));
  const written: [NewEntry, Position][] = [];
  const counts = servers.map(() => 0);
  let going = true;
  const callers = servers.flatMap(({ appender }, server) =>
    Array.from({ length: 8 }, async () => {
      while (going) {
        const entry = newEntry('hot');
        written.push([entry, await appender.append(entry)]);
        counts[server]! += 1;
        going &&= written.length < 2000;
      }
    }),
  );
  await Promise.all(callers);
  await checkLog(store, written);
  expect(await wholeLog(store, 'hot')).toHaveLength(written.length);
  // A fair share is 500.
  expect(Math.min(...counts)).toBeGreaterThan(250);
});

test('many servers write many logs, some of them hot', async () => {
  const store = new MemoryAuditStore();
  const servers = Array.from({ length: SERVERS }, () => openAppender({ store, maxLogs: 8 }));
  const written: [NewEntry, Position][] = [];
  const callers = servers.flatMap(({ appender }, server) =>
    Array.from({ length: 12 }, async (_, caller) => {
      for (let i = 0; i < 20; i += 1) {
        const entry = newEntry(caller < 4 ? 'hot' : `t-${(server + caller * i) % 15}`);
        written.push([entry, await appender.append(entry)]);
      }
    }),
  );
  await Promise.all(callers);
  await checkLog(store, written);
});

test('a log that others keep writing is appended to in turn at once', async () => {
  const { store, appender } = openAppender();
  await appender.append(newEntry('a'));
  await store.appendInTurn([newEntry('a')], []);
  let others = 1;
  store.fate = ({ method }) => {
    // Each call of the appender comes after one of another server.
    if (method === 'appendInTurn' && others++ % 2 === 1) void store.appendInTurn([newEntry('a')], []);
    return 'done';
  };
  await appender.append(newEntry('a'));
  store.calls.length = 0;
  for (const seq of [6, 8, 10]) expect(await appender.append(newEntry('a'))).toEqual({ tenantId: 'a', seq });
  expect([callsOf(store, 'append'), callsOf(store, 'appendInTurn')]).toEqual([0, 6]);
});

test('a log that nobody else writes any more goes in groups again', async () => {
  const store = new MemoryAuditStore();
  const [one, other] = [openAppender({ store }).appender, openAppender({ store }).appender];
  for (let i = 0; i < 20; i += 1) {
    await Promise.all([one, other].map((appender) => appender.append(newEntry('a'))));
  }
  // The first finds out that it is alone, the second is in groups.
  await one.append(newEntry('a'));
  await one.append(newEntry('a'));
  store.calls.length = 0;
  expect(await one.append(newEntry('a'))).toEqual({ tenantId: 'a', seq: 43 });
  expect([callsOf(store, 'append'), callsOf(store, 'appendInTurn')]).toEqual([1, 0]);
});
