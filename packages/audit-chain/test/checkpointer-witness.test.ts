import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  cosignatures,
  MemoryKnownCheckpoints,
  parseNote,
  SYSTEM_TENANT,
  Witnesses,
  type WitnessesOptions,
} from '../src/index.ts';
import { MemoryAuditStore } from '../src/testing/memory.ts';
import { keyOf, noteSigner, rejection } from './cases.ts';
import { expectCheckpoint, grow, logOf, type Server, serverOn } from './checkpointer-cases.ts';
import { TestWitness } from './witness-server.ts';

const servers = [1, 2, 3].map((i) => new TestWitness(`witness.example.com/${i}`, 20 + i, [keyOf(noteSigner(1))]));
beforeAll(async () => {
  await Promise.all(servers.map((server) => server.listen()));
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.close()));
});
let store: MemoryAuditStore;
beforeEach(async () => {
  for (const server of servers) {
    server.seen.clear();
    server.requests.length = 0;
    server.answer = undefined;
  }
  store = new MemoryAuditStore();
  await grow(store, 300, SYSTEM_TENANT);
});

const policy = (change: Partial<WitnessesOptions> = {}): Witnesses =>
  new Witnesses({ threshold: 2, witnesses: servers.map(({ witness }) => witness), now: Date.now, ...change });
const witnessed = (known = new MemoryKnownCheckpoints()): Server => serverOn(store, { witnesses: policy(), known });
const cosigned = (note: string): number =>
  cosignatures(
    note,
    servers.map(({ witness }) => witness.key),
  ).length;

describe('the log of the installation', () => {
  test('is cosigned, stored and published with its cosignatures, and grows so', async () => {
    const { checkpointer, known, problems, incidents } = witnessed();
    for (const size of [300, 301, 900]) {
      await grow(store, size - (await logOf(store, SYSTEM_TENANT)).length, SYSTEM_TENANT);
      const checkpoint = await checkpointer.checkpoint(SYSTEM_TENANT);
      expectCheckpoint(checkpoint, await logOf(store, SYSTEM_TENANT), size);
      expect(cosigned(checkpoint.note)).toBe(3);
      expect(await store.checkpoint(SYSTEM_TENANT)).toEqual(checkpoint);
      expect((await known.highest(SYSTEM_TENANT))?.size).toBe(size);
      expect((await checkpointer.inclusionProof(SYSTEM_TENANT, 1)).checkpoint).toEqual(checkpoint);
    }
    expect([problems, incidents]).toEqual([[], []]);
    // After a restart what is stored is enough: nobody is asked again.
    servers[0]!.requests.length = 0;
    expect(cosigned((await witnessed().checkpointer.checkpoint(SYSTEM_TENANT)).note)).toBe(3);
    expect(servers[0]!.requests).toEqual([]);
  });

  test('is published when enough have cosigned, and served all the same', async () => {
    const { checkpointer, known, problems } = witnessed();
    for (const server of servers.slice(1)) server.answer = () => ({ status: 500 });
    const first = await checkpointer.checkpoint(SYSTEM_TENANT);
    expect([cosigned(first.note), problems.length]).toEqual([1, 2]);
    expect(await known.highest(SYSTEM_TENANT)).toBeUndefined();
    // The same size is not asked for again.
    expect(await checkpointer.checkpoint(SYSTEM_TENANT)).toEqual(first);
    expect(servers[1]!.requests).toHaveLength(1);
    servers[1]!.answer = undefined;
    await grow(store, 1, SYSTEM_TENANT);
    expect(cosigned((await checkpointer.checkpoint(SYSTEM_TENANT)).note)).toBe(2);
    expect((await known.highest(SYSTEM_TENANT))?.size).toBe(301);
  });

  test('is asked for once more after a restart, with the cosignatures that it lacks', async () => {
    for (const server of servers.slice(1)) server.answer = () => ({ status: 500 });
    await witnessed().checkpointer.checkpoint(SYSTEM_TENANT);
    for (const server of servers) server.answer = undefined;
    const { checkpointer, known } = witnessed();
    const asked = servers[1]!.requests.length;
    // Proofs do not wait for witnesses.
    expect(cosigned((await checkpointer.inclusionProof(SYSTEM_TENANT, 1)).checkpoint.note)).toBe(1);
    expect(servers[1]!.requests).toHaveLength(asked);
    const { note } = await checkpointer.checkpoint(SYSTEM_TENANT);
    expect(cosigned(note)).toBe(3);
    expect(parseNote(note).signatures).toHaveLength(4);
    expect(servers[0]!.requests).toHaveLength(1);
    expect((await known.highest(SYSTEM_TENANT))?.size).toBe(300);
  });

  test('is the only one that is', async () => {
    await grow(store, 3, 'acme');
    const { checkpointer, known } = witnessed();
    expect(cosigned((await checkpointer.checkpoint('acme')).note)).toBe(0);
    await checkpointer.interval();
    expect(servers.flatMap(({ requests }) => requests)).toEqual([]);
    expect((await known.highest('acme'))?.size).toBe(3);
  });

  test('may have been submitted by another server, and be larger there', async () => {
    const [one, other] = [witnessed(), witnessed()];
    servers[0]!.answer = async (reply) => {
      servers[0]!.answer = undefined;
      await grow(store, 5, SYSTEM_TENANT);
      await other.checkpointer.checkpoint(SYSTEM_TENANT);
      return reply.status === 200 ? { status: 409, body: '305\n', type: 'text/x.tlog.size' } : reply;
    };
    expectCheckpoint(await one.checkpointer.checkpoint(SYSTEM_TENANT), await logOf(store, SYSTEM_TENANT), 300);
    expect([one.incidents, other.incidents]).toEqual([[], []]);
    expect((await store.checkpoint(SYSTEM_TENANT))?.size).toBe(305);
  });
});

describe('what witnesses hold against it', () => {
  test('they have seen more than the database has: it was put back to a backup', async () => {
    await witnessed().checkpointer.checkpoint(SYSTEM_TENANT);
    store.rollBack(SYSTEM_TENANT, 200);
    // Nothing but the witnesses is left that knows.
    const { checkpointer, incidents, known, sign } = witnessed();
    expect(await rejection(checkpointer.checkpoint(SYSTEM_TENANT))).toBe('AUDIT_LOG_BEHIND');
    expect(incidents).toMatchObject([{ tenantId: SYSTEM_TENANT, epoch: 1 }]);
    expect(await known.highest(SYSTEM_TENANT)).toBeUndefined();
    // It stays so, whatever the log grows to, until there is a new epoch.
    const signatures = sign.mock.calls.length;
    await grow(store, 500, SYSTEM_TENANT);
    expect(await rejection(checkpointer.checkpoint(SYSTEM_TENANT))).toBe('AUDIT_LOG_BEHIND');
    expect(await rejection(checkpointer.receipt(SYSTEM_TENANT, 1))).toBe('AUDIT_LOG_BEHIND');
    expect(sign.mock.calls.length).toBe(signatures);
  });

  test.each([300, 301, 700])('they have seen another log, of which there are %i entries now', async (size) => {
    await witnessed().checkpointer.checkpoint(SYSTEM_TENANT);
    const other = new MemoryAuditStore();
    await grow(other, size, SYSTEM_TENANT);
    store = other;
    const { checkpointer, incidents, known } = witnessed();
    expect(await rejection(checkpointer.checkpoint(SYSTEM_TENANT))).toBe('AUDIT_LOG_FORKED');
    expect(incidents).toMatchObject([{ tenantId: SYSTEM_TENANT, epoch: 1 }]);
    expect(await known.highest(SYSTEM_TENANT)).toBeUndefined();
  });

  test('a cosignature in the store is not by its witness', async () => {
    const { checkpointer, incidents } = witnessed();
    const stored = await checkpointer.checkpoint(SYSTEM_TENANT);
    const last = stored.note.split('\n').at(-2)!;
    const changed = stored.note.replace(last, `${last.slice(0, -12)}AAAAAAAAAAA=`);
    store.checkpoint = async () => ({ ...stored, note: changed });
    expect(await rejection(witnessed().checkpointer.checkpoint(SYSTEM_TENANT))).toBe('AUDIT_LOG_FORKED');
    expect(incidents).toEqual([]);
  });

  test('nothing, when a stored node was replaced, and there is no proof for them', async () => {
    const { checkpointer, problems, incidents } = witnessed();
    await checkpointer.checkpoint(SYSTEM_TENANT);
    await grow(store, 1, SYSTEM_TENANT);
    const nodes = store.nodes.bind(store);
    store.nodes = async (...args) => (await nodes(...args)).map(() => new Uint8Array(32).fill(7));
    expect([cosigned((await checkpointer.checkpoint(SYSTEM_TENANT)).note), incidents]).toEqual([0, []]);
    expect(problems).toMatchObject(Array(3).fill({ code: 'AUDIT_LOG_FORKED' }));
    expect(servers[0]!.requests).toHaveLength(1);
  });

  test('nothing, when the proof for them could not be read', async () => {
    const { checkpointer, problems, incidents } = witnessed();
    await checkpointer.checkpoint(SYSTEM_TENANT);
    await grow(store, 1, SYSTEM_TENANT);
    store.fate = ({ method }) => (method === 'nodes' ? 'lost before' : 'done');
    const checkpoint = await checkpointer.checkpoint(SYSTEM_TENANT);
    expect([cosigned(checkpoint.note), incidents]).toEqual([0, []]);
    expect(problems).toMatchObject(Array(3).fill({ code: 'STORE_UNAVAILABLE' }));
  });
});
