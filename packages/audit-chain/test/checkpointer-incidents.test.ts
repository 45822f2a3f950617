import { describe, expect, test } from 'vitest';
import { formatOrigin, type KnownCheckpoints, MemoryKnownCheckpoints, signCheckpoint } from '../src/index.ts';
import { MemoryAuditStore } from '../src/testing/memory.ts';
import { LOG, noteSigner, rejection } from './cases.ts';
import { expectCheckpoint, grow, logOf, newEntries, type Server, serverOn, TENANT } from './checkpointer-cases.ts';

/** A log, signed for by a server that goes on and by one that is started anew. */
async function signed(size = 300): Promise<{
  store: MemoryAuditStore;
  known: KnownCheckpoints;
  running: Server;
  /** After a restart; with nothing but the database when `known` is forgotten. */
  restarted: (forgetful?: boolean) => Server;
}> {
  const store = new MemoryAuditStore();
  await grow(store, size);
  const running = serverOn(store);
  const { known } = running;
  await running.checkpointer.checkpoint(TENANT);
  const restarted = (forgetful = false): Server => serverOn(store, forgetful ? {} : { known });
  return { store, known, running, restarted };
}

/** Every method is refused with this code, says so, and nothing is signed, stored or published. */
async function expectIncident(
  { checkpointer, incidents, known, sign }: Server,
  store: MemoryAuditStore,
  code: string,
): Promise<void> {
  const [calls, publish, signatures] = [store.calls.length, await known.highest(TENANT), sign.mock.calls.length];
  const attempts = [
    () => checkpointer.checkpoint(TENANT),
    () => checkpointer.inclusionProof(TENANT, 1),
    () => checkpointer.consistencyProof(TENANT, 1),
    () => checkpointer.receipt(TENANT, 1),
  ];
  for (const attempt of attempts) {
    const before = incidents.length;
    expect(await rejection(attempt())).toBe(code);
    expect(incidents.slice(before)).toEqual([
      { tenantId: TENANT, epoch: expect.any(Number) as number, reason: expect.stringMatching(/^the log is/) as string },
    ]);
  }
  expect(sign.mock.calls.length).toBe(signatures);
  expect(store.calls.slice(calls).filter(({ method }) => method === 'saveCheckpoint')).toEqual([]);
  expect(await known.highest(TENANT)).toEqual(publish);
}

describe('a database that was put back to a backup', () => {
  test('is found by the server that goes on, and by one that is started anew', async () => {
    const { store, running, restarted } = await signed();
    store.rollBack(TENANT, 200);
    await expectIncident(running, store, 'AUDIT_LOG_BEHIND');
    await expectIncident(restarted(), store, 'AUDIT_LOG_BEHIND');
    // A server that knows nothing but this database cannot tell: what is known outside of it is what finds it.
    expectCheckpoint(await restarted(true).checkpointer.checkpoint(TENANT), await logOf(store));
  });

  test('is found when nothing of the log is left', async () => {
    const { store, running, restarted } = await signed();
    store.rollBack(TENANT, 0);
    await expectIncident(running, store, 'AUDIT_LOG_BEHIND');
    await expectIncident(restarted(), store, 'AUDIT_LOG_BEHIND');
  });

  test('is found by its checkpoint, should that be all that is left', async () => {
    const { store, restarted } = await signed();
    const checkpoint = (await store.checkpoint(TENANT))!;
    store.rollBack(TENANT, 200);
    await store.saveCheckpoint(checkpoint, []);
    await expectIncident(restarted(true), store, 'AUDIT_LOG_BEHIND');
  });

  test.each([300, 301, 800])('is found when it has grown to %i entries again', async (size) => {
    const { store, running, restarted } = await signed();
    store.rollBack(TENANT, 290);
    await grow(store, size - 290);
    await expectIncident(running, store, 'AUDIT_LOG_FORKED');
    await expectIncident(restarted(), store, 'AUDIT_LOG_FORKED');
  });

  test('is no incident any more in a new epoch, whose checkpoints begin with the entries', async () => {
    const { store, known, running, restarted } = await signed(200);
    store.rollBack(TENANT, 150);
    await expectIncident(running, store, 'AUDIT_LOG_BEHIND');
    const [opening] = newEntries(TENANT, 1);
    await store.openEpoch(2, opening!);
    for (const server of [running, restarted()]) {
      await grow(store, 100);
      const checkpoint = await server.checkpointer.checkpoint(TENANT);
      expectCheckpoint(checkpoint, await logOf(store));
      expect(checkpoint.note.startsWith(`${formatOrigin({ log: LOG, tenantId: TENANT, epoch: 2 })}\n`)).toBe(true);
      expect(await known.highest(TENANT)).toMatchObject({ epoch: 2, size: checkpoint.size });
    }
    store.rollBack(TENANT, 150, 1);
    await expectIncident(running, store, 'AUDIT_LOG_BEHIND');
    await expectIncident(restarted(), store, 'AUDIT_LOG_BEHIND');
    expect(running.incidents.at(-1)?.epoch).toBe(2);
  });
});

describe('a log that is another than was signed for', () => {
  /** There is no proof, and nothing that stops: the log goes on from what was signed. */
  const expectProblems = ({ problems, incidents }: Server, count: number): void => {
    expect(problems.map((problem) => (problem as { code: string }).code)).toEqual(
      Array(count).fill('AUDIT_LOG_FORKED'),
    );
    expect(incidents).toEqual([]);
  };

  test('an entry at the end was replaced, with its head', async () => {
    const { store, running, restarted } = await signed();
    const [last] = await store.entriesAfter(TENANT, 299, 1);
    store.tamper({ ...last!, entryHash: new Uint8Array(32).fill(7) });
    await expectIncident(running, store, 'AUDIT_LOG_FORKED');
    await expectIncident(restarted(), store, 'AUDIT_LOG_FORKED');
    await expectIncident(restarted(true), store, 'AUDIT_LOG_FORKED');
  });

  test('an entry of the unfinished tile was replaced: found by who is started anew', async () => {
    const { store, restarted } = await signed();
    const [entry] = await store.entriesAfter(TENANT, 279, 1);
    store.tamper({ ...entry!, entryHash: new Uint8Array(32).fill(7) });
    await expectIncident(restarted(), store, 'AUDIT_LOG_FORKED');
    await expectIncident(restarted(true), store, 'AUDIT_LOG_FORKED');
  });

  test('an entry under a stored node was replaced: found by its receipt', async () => {
    const { store, running } = await signed();
    const [entry] = await store.entriesAfter(TENANT, 9, 1);
    store.tamper({ ...entry!, entryHash: new Uint8Array(32).fill(7) });
    for (const seq of [10, 11])
      expect(await rejection(running.checkpointer.receipt(TENANT, seq))).toBe('AUDIT_LOG_FORKED');
    expectProblems(running, 2);
  });

  test('fields of an entry were changed, its hash was not: found by its receipt', async () => {
    const { store, running } = await signed();
    const [entry, other] = await store.entriesAfter(TENANT, 9, 2);
    store.tamper({ ...entry!, actorId: 'm_2' });
    store.tamper({ ...other!, action: '' });
    for (const seq of [10, 11])
      expect(await rejection(running.checkpointer.receipt(TENANT, seq))).toBe('AUDIT_LOG_FORKED');
    expectProblems(running, 2);
    expect(await rejection(running.checkpointer.receipt(TENANT, 12))).toBe('resolved');
  });

  test('a stored node was replaced', async () => {
    const { store, running, restarted } = await signed();
    const nodes = store.nodes.bind(store);
    store.nodes = async (...args) => (await nodes(...args)).map(() => new Uint8Array(32).fill(7));
    expect(await rejection(running.checkpointer.inclusionProof(TENANT, 300))).toBe('AUDIT_LOG_FORKED');
    expect(await rejection(running.checkpointer.consistencyProof(TENANT, 260))).toBe('AUDIT_LOG_FORKED');
    expectProblems(running, 2);
    // The entries are what was signed for: who is started anew reads those, and goes on.
    for (const server of [restarted(), restarted(true)]) {
      expectCheckpoint(await server.checkpointer.checkpoint(TENANT), await logOf(store));
      expect(server.incidents).toEqual([]);
    }
  });

  test('its head is not that of its last entry', async () => {
    const { store, restarted } = await signed();
    await grow(store, 1);
    const head = store.head.bind(store);
    store.head = async (tenantId) => ({ ...(await head(tenantId))!, hash: new Uint8Array(32) });
    // A proof of what is stored needs no head.
    expect(await rejection(restarted().checkpointer.checkpoint(TENANT))).toBe('AUDIT_LOG_FORKED');
  });

  test('another root is known outside of the store: smaller, equal and larger than what is stored', async () => {
    const { store } = await signed();
    await grow(store, 20);
    for (const size of [299, 300, 310, 320]) {
      const known = new MemoryKnownCheckpoints();
      const origin = formatOrigin({ log: LOG, tenantId: TENANT, epoch: 1 });
      await known.publish(TENANT, signCheckpoint({ origin, size, root: new Uint8Array(32).fill(7) }, [noteSigner(1)]));
      await expectIncident(serverOn(store, { known }), store, 'AUDIT_LOG_FORKED');
    }
  });
});

describe('a checkpoint in the store that is not what this log signed', () => {
  const origin = (epoch = 1, tenantId = TENANT): string => formatOrigin({ log: LOG, tenantId, epoch });
  test.each([
    ['signed by another key', { signer: noteSigner(2) }],
    ['of another tenant', { origin: origin(1, 'other') }],
    ['of another epoch', { origin: origin(2) }],
    ['of another size', { size: 299 }],
    ['with another root in its note', { root: new Uint8Array(32).fill(7) }],
    ['that is no note', { note: 'hello' }],
  ])('%s', async (_, change) => {
    const { store, running, restarted } = await signed();
    const stored = (await store.checkpoint(TENANT))!;
    const { signer, ...said } = {
      origin: origin(),
      size: stored.size,
      root: stored.root,
      signer: noteSigner(1),
      ...change,
    };
    const note = 'note' in change ? change.note : signCheckpoint(said, [signer]);
    store.checkpoint = async () => ({ ...stored, note });
    for (const server of [running, restarted()]) await expectIncident(server, store, 'AUDIT_LOG_FORKED');
  });

  test('with a root that its own key signed, and the entries do not give', async () => {
    const { store, running, restarted } = await signed();
    const stored = (await store.checkpoint(TENANT))!;
    for (const size of [299, 300]) {
      const root = new Uint8Array(32).fill(7);
      const note = signCheckpoint({ origin: origin(), size, root }, [noteSigner(1)]);
      store.checkpoint = async () => ({ ...stored, size, root, note });
      for (const server of [running, restarted()]) await expectIncident(server, store, 'AUDIT_LOG_FORKED');
    }
  });

  test('a store that refuses a checkpoint and has none that is larger', async () => {
    const { store, running } = await signed();
    await grow(store, 1);
    store.saveCheckpoint = async () => false;
    expect(await rejection(running.checkpointer.checkpoint(TENANT))).toBe('AUDIT_LOG_FORKED');
    expect((await running.known.highest(TENANT))?.size).toBe(300);
  });
});

test('the incident of one log is not that of another', async () => {
  const { store, running } = await signed();
  await grow(store, 5, 'other');
  store.rollBack(TENANT, 200);
  await expectIncident(running, store, 'AUDIT_LOG_BEHIND');
  expectCheckpoint(await running.checkpointer.checkpoint('other'), await logOf(store, 'other'));
});
