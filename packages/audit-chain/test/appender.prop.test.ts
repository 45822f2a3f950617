import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NewEntry, Position } from '../src/index.ts';
import { type Fate, MemoryAuditStore } from '../src/testing.ts';
import { checkLog, newEntry, openAppender, turns, wholeLog } from './appender-cases.ts';

const WRITES = ['append', 'appendInTurn'];

/** What the next calls take; `late` is for those that write. */
const fate = fc.record({
  fate: fc.oneof(
    { weight: 3, arbitrary: fc.constant('done' as const) },
    fc.constantFrom('lost before', 'lost after', 'late', 'refused'),
  ),
  turns: fc.nat(3),
});

const act = fc.record({
  server: fc.nat(2),
  tenant: fc.nat(2),
  count: fc.integer({ min: 1, max: 3 }),
  pause: fc.nat(6),
  by: fc.constantFrom('appender', 'appender', 'appender', 'another'),
});

test('whatever becomes of calls: logs are whole, and what was answered stands where it was said to, once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 25 }), fc.array(fate, { maxLength: 30 }), run),
    { numRuns: 500 },
  );
});

async function run(
  acts: readonly (typeof act extends fc.Arbitrary<infer T> ? T : never)[],
  given: readonly (typeof fate extends fc.Arbitrary<infer T> ? T : never)[],
): Promise<void> {
  const store = new MemoryAuditStore();
  const servers = [0, 1, 2].map(() => openAppender({ store, maxLogs: 2 }).appender);
  const next = given[Symbol.iterator]();
  let lost = false;
  let late = false;
  store.fate = ({ method }): Fate => {
    const wanted = next.next().value?.fate ?? 'done';
    if (wanted === 'done') return wanted;
    // What is refused is refused whenever it comes: not the second time only, with the first still on its way.
    if (wanted === 'refused' && !late) return WRITES.includes(method) ? new Error('refused') : 'done';
    lost = true;
    if (wanted === 'lost after') return wanted;
    if (wanted !== 'late' || !WRITES.includes(method)) return 'lost before';
    late = true;
    return wanted;
  };
  let calls = 0;
  store.latency = () => turns(given[(calls += 1) % (given.length + 1)]?.turns ?? 1);

  const written: [NewEntry, Position][] = [];
  const rejected: NewEntry[] = [];
  const pending: Promise<unknown>[] = [];
  for (const { server, tenant, count, pause, by } of acts) {
    for (let i = 0; i < count; i += 1) {
      const entry = newEntry(`t-${tenant}`);
      const append = by === 'another' ? appendAside(store, entry) : servers[server]!.append(entry);
      pending.push(
        append.then(
          (position) => written.push([entry, position]),
          () => by === 'appender' && rejected.push(entry),
        ),
      );
    }
    await turns(pause);
  }
  await Promise.all(pending);
  await Promise.all(servers.map((appender) => appender.close()));
  await turns(20);
  store.fate = () => 'done';
  await checkLog(store, written);
  // Only what is refused is rejected, since no clock goes on; and it is not in the log, unless a lost call put it there.
  if (lost) return;
  for (const { tenantId, details } of rejected) {
    expect((await wholeLog(store, tenantId)).map((entry) => entry.details)).not.toContain(details);
  }
}

/** As a transaction does that writes an entry with what it changes. */
async function appendAside(store: MemoryAuditStore, entry: NewEntry): Promise<Position> {
  const { first } = await store.appendInTurn([entry], []);
  return { tenantId: entry.tenantId, seq: first };
}
