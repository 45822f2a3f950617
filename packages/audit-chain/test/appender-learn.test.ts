import { expect, test } from 'vitest';
import type { Head, NewEntry } from '../src/index.ts';
import { callsOf, newEntry, openAppender, wholeLog } from './appender-cases.ts';

/** As a transaction of the store appends it, past the appender. */
async function past(store: ReturnType<typeof openAppender>['store'], entry: NewEntry): Promise<Head> {
  return (await store.appendInTurn([entry], [])).head;
}

test('the first entry of a log that a change of keys began needs one call', async () => {
  const { store, appender } = openAppender();
  const change = newEntry('acme');
  appender.learn(change, await past(store, change));
  expect(await appender.append(newEntry('acme'))).toEqual({ tenantId: 'acme', seq: 2 });
  expect([callsOf(store, 'append'), callsOf(store, 'appendInTurn')]).toEqual([1, 1]);
  expect(await wholeLog(store, 'acme')).toHaveLength(2);
});

test('so does the next of a log whose end was known', async () => {
  const { store, appender } = openAppender();
  await appender.append(newEntry('acme'));
  const change = newEntry('acme');
  appender.learn(change, await past(store, change));
  expect(await appender.append(newEntry('acme'))).toEqual({ tenantId: 'acme', seq: 3 });
  expect([callsOf(store, 'append'), callsOf(store, 'appendInTurn')]).toEqual([2, 1]);
});

test('an end that does not follow from what was known is not taken: the store is asked', async () => {
  const { store, appender, incidents } = openAppender();
  await appender.append(newEntry('acme'));
  await past(store, newEntry('acme'));
  const change = newEntry('acme');
  appender.learn(change, await past(store, change));
  expect(await appender.append(newEntry('acme'))).toEqual({ tenantId: 'acme', seq: 4 });
  expect(await wholeLog(store, 'acme')).toHaveLength(4);
  expect(incidents).toEqual([]);
});

test('a log that was put back below a checkpoint is an incident, whatever was learned', async () => {
  const { store, appender, incidents } = openAppender({ floor: () => ({ epoch: 1, size: 5 }) });
  const change = newEntry('acme');
  appender.learn(change, await past(store, change));
  await expect(appender.append(newEntry('acme'))).rejects.toMatchObject({ code: 'AUDIT_LOG_BEHIND' });
  expect(incidents).toHaveLength(1);
});
