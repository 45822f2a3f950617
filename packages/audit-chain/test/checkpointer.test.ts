import { toHex } from '@minikms/crypto-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  emptyRoot,
  leafHash,
  type StoredCheckpoint,
  verifyConsistency,
  verifyInclusion,
  verifyReceipt,
} from '../src/index.ts';
import { MemoryAuditStore } from '../src/testing/memory.ts';
import { keyOf, LOG, noteSigner, rejection, treeOf } from './cases.ts';
import { expectCheckpoint, grow, logOf, serverOn, TENANT, unsteady } from './checkpointer-cases.ts';
import { hashAt, SyntheticStore, syntheticTree } from './synthetic-store.ts';

const keys = [keyOf(noteSigner(1))];

describe('a checkpoint', () => {
  test('covers every entry, whatever the log grew by and whoever makes it', async () => {
    const growth = fc.array(fc.record({ by: fc.integer({ min: 0, max: 300 }), restart: fc.boolean() }), {
      minLength: 1,
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(growth, async (steps) => {
        const store = new MemoryAuditStore();
        const { known, ...first } = serverOn(store);
        let server = { known, ...first };
        for (const { by, restart } of steps) {
          if (restart) server = serverOn(store, { known });
          await grow(store, by);
          const log = await logOf(store);
          expectCheckpoint(await server.checkpointer.checkpoint(TENANT), log);
          expect((await known.highest(TENANT))?.size ?? 0).toBe(log.length);
        }
        expect(server.incidents).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });

  test('of a log without entries is signed and not stored', async () => {
    const store = new MemoryAuditStore();
    const { checkpointer, known } = serverOn(store);
    const checkpoint = await checkpointer.checkpoint(TENANT);
    expectCheckpoint(checkpoint, []);
    expect(toHex(checkpoint.root)).toBe(toHex(emptyRoot()));
    expect([await store.checkpoint(TENANT), await known.highest(TENANT)]).toEqual([undefined, undefined]);
    expect(await rejection(checkpointer.checkpoint(''))).toBe('ORIGIN_INVALID');
  });

  test('is stored, with the nodes of its tree, and the same when nothing grew', async () => {
    const store = new MemoryAuditStore();
    await grow(store, 700);
    const { checkpointer, sign } = serverOn(store);
    const made = await checkpointer.checkpoint(TENANT);
    expect(await store.checkpoint(TENANT)).toEqual(made);
    expect(await store.nodes(TENANT, 8, 0, 255)).toHaveLength(2);
    expect(await checkpointer.checkpoint(TENANT)).toEqual(made);
    expect(await serverOn(store).checkpointer.checkpoint(TENANT)).toEqual(made);
    expect(sign).toHaveBeenCalledTimes(1);
  });

  test('covers what was committed when it was asked for, also while another is being made', async () => {
    const store = new MemoryAuditStore();
    store.latency = unsteady(1);
    const { checkpointer } = serverOn(store);
    const covered: Promise<number>[] = [];
    for (let i = 1; i <= 30; i += 1) {
      await grow(store, 1);
      covered.push(checkpointer.checkpoint(TENANT).then(({ size }) => size - i));
      await store.latency({ method: 'head', tenantIds: [] });
    }
    expect((await Promise.all(covered)).filter((more) => more < 0)).toEqual([]);
    // Those who ask at once share one.
    const before = store.calls.length;
    await Promise.all(Array.from({ length: 50 }, () => checkpointer.checkpoint(TENANT)));
    expect(store.calls.slice(before).filter(({ method }) => method === 'checkpoint')).toHaveLength(2);
  });

  test('of several servers at once never contradicts another', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(1_000_000), fc.boolean(), async (seed, shared) => {
        const store = new MemoryAuditStore();
        store.latency = unsteady(seed);
        const first = serverOn(store);
        const others = [1, 2].map(() => serverOn(store, shared ? { known: first.known } : {}));
        const servers = [first, ...others];
        const made: StoredCheckpoint[] = [];
        const work = servers.flatMap(({ checkpointer }) => [
          ...Array.from({ length: 6 }, async () => {
            await grow(store, 1 + (seed % 60));
            const { seq = 0 } = (await store.head(TENANT)) ?? {};
            const checkpoint = await checkpointer.checkpoint(TENANT);
            expect(checkpoint.size).toBeGreaterThanOrEqual(seq);
            made.push(checkpoint);
          }),
          (async () => void made.push((await checkpointer.inclusionProof(TENANT, 1)).checkpoint))().catch(
            (error: unknown) => {
              expect((error as { code: string }).code).toBe('ENTRY_NOT_FOUND');
            },
          ),
        ]);
        await Promise.all(work);
        const log = await logOf(store);
        for (const checkpoint of made) expectCheckpoint(checkpoint, log, checkpoint.size);
        expect(servers.flatMap(({ incidents }) => incidents)).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });

  test('that was refused for a larger one gives way to that', async () => {
    const store = new MemoryAuditStore();
    await grow(store, 3);
    const [one, other] = [serverOn(store), serverOn(store)];
    const save = store.saveCheckpoint.bind(store);
    store.saveCheckpoint = async (...args) => {
      store.saveCheckpoint = save;
      await grow(store, 5);
      await other.checkpointer.checkpoint(TENANT);
      return save(...args);
    };
    const log = logOf(store);
    expectCheckpoint(await one.checkpointer.checkpoint(TENANT), [...(await log), ...(await logOf(store)).slice(3)], 8);
    expect(one.incidents).toEqual([]);
  });

  test('is handed out when it is known outside of the store, and not before', async () => {
    const store = new MemoryAuditStore();
    await grow(store, 3);
    const { checkpointer, known } = serverOn(store);
    const publish = known.publish.bind(known);
    known.publish = async () => {
      throw new Error('the disk is full');
    };
    await expect(checkpointer.checkpoint(TENANT)).rejects.toThrow('the disk is full');
    await expect(checkpointer.receipt(TENANT, 1)).rejects.toThrow('the disk is full');
    known.publish = publish;
    expectCheckpoint(await checkpointer.checkpoint(TENANT), await logOf(store));
    expect(await known.highest(TENANT)).toMatchObject({ epoch: 1, size: 3 });
    known.publish = () => Promise.reject(new Error('once is enough'));
    await checkpointer.checkpoint(TENANT);
  });

  test.each(['lost before', 'lost after', 'late'] as const)(
    'is made after a failure of the store: %s',
    async (fate) => {
      const store = new MemoryAuditStore();
      await grow(store, 300);
      const { checkpointer, incidents } = serverOn(store);
      const methods = ['checkpoint', 'head', 'entryHashes', 'saveCheckpoint'] as const;
      for (const [i, failing] of methods.entries()) {
        store.fate = ({ method }) => (method === failing ? fate : 'done');
        expect(await rejection(checkpointer.checkpoint(TENANT))).toBe('STORE_UNAVAILABLE');
        store.fate = () => 'done';
        expectCheckpoint(await checkpointer.checkpoint(TENANT), await logOf(store), 300 + 20 * i);
        await grow(store, 20);
      }
      expect(incidents).toEqual([]);
    },
  );

  test('of a large log takes several, each with its nodes', async () => {
    const size = 2 ** 18 + 300;
    const store = new SyntheticStore(size);
    const { checkpointer } = serverOn(store as never);
    const { roots } = syntheticTree(size, [2 ** 18, size]);
    const checkpoint = await checkpointer.checkpoint(TENANT);
    expect(store.saved.map((one) => [one.size, toHex(one.root)])).toEqual(
      [...roots].slice(1).map(([at, root]) => [at, toHex(root)]),
    );
    expect(checkpoint).toBe(store.saved.at(-1));
    expect(store.stored.size).toBe(2 ** 10 + 1 + 4);
    expect(store.reads.every((read) => Number(read.split(' ')[1]) <= 10_000)).toBe(true);
    // From here on what is stored is enough.
    store.reads.length = 0;
    const { hashes } = await serverOn(store as never).checkpointer.inclusionProof(TENANT, 77_777);
    expect(verifyInclusion(leafHash(hashAt(77_777)), 77_776, size, hashes, roots.get(size)!)).toBe(true);
    expect(store.reads.length).toBeLessThanOrEqual(12);
  });

  test('is made with few trees in memory', async () => {
    const store = new MemoryAuditStore();
    const { checkpointer } = serverOn(store, { trees: 1 });
    for (let round = 0; round < 3; round += 1) {
      for (const tenantId of ['a', 'b', 'c']) {
        await grow(store, 5, tenantId);
        expectCheckpoint(await checkpointer.checkpoint(tenantId), await logOf(store, tenantId));
      }
    }
  });

  test('forgets the trees that were not used for longest', async () => {
    const store = new MemoryAuditStore();
    const { checkpointer } = serverOn(store, { trees: 2 });
    for (const tenantId of ['a', 'b', 'a', 'c']) {
      await grow(store, 5, tenantId);
      await checkpointer.checkpoint(tenantId);
    }
    const read = async (tenantId: string): Promise<boolean> => {
      const before = store.calls.length;
      await checkpointer.checkpoint(tenantId);
      return store.calls.slice(before).some(({ method }) => method === 'entryHashes');
    };
    expect([await read('a'), await read('c'), await read('b'), await read('b')]).toEqual([false, false, true, false]);
  });

  test('needs a key that speaks for its log', () => {
    for (const name of ['kms.example.com/other', `${LOG}/acme`, 'kms.example.co']) {
      expect(() => serverOn(new MemoryAuditStore(), { signer: noteSigner(1, name) })).toThrow('does not speak for');
    }
    expect(() => serverOn(new MemoryAuditStore(), { signer: noteSigner(1, 'kms.example.com') })).not.toThrow();
    expect(() => serverOn(new MemoryAuditStore(), { log: 'a b' })).toThrow('a log name');
  });
});

describe('proofs', () => {
  test('of every entry, from every size', async () => {
    const store = new MemoryAuditStore();
    await grow(store, 600);
    const { checkpointer } = serverOn(store);
    const log = await logOf(store);
    for (const seq of [1, 2, 255, 256, 257, 512, 513, 600]) {
      const { hashes, leafHash: leaf, checkpoint } = await checkpointer.inclusionProof(TENANT, seq);
      expect(toHex(leaf)).toBe(toHex(leafHash(log[seq - 1]!.entryHash)));
      expect(verifyInclusion(leaf, seq - 1, 600, hashes, checkpoint.root)).toBe(true);
      const { entry } = verifyReceipt(await checkpointer.receipt(TENANT, seq), keys);
      expect(entry).toEqual(log[seq - 1]);
    }
    for (const size of [0, 1, 255, 256, 257, 599, 600]) {
      const { hashes, checkpoint } = await checkpointer.consistencyProof(TENANT, size);
      const older = treeOf(log.slice(0, size)).root();
      expect(verifyConsistency(size, 600, older, checkpoint.root, hashes)).toBe(true);
    }
  });

  test('are of the newest checkpoint; one is made for an entry that is newer', async () => {
    const store = new MemoryAuditStore();
    await grow(store, 3);
    const { checkpointer } = serverOn(store);
    expect((await checkpointer.inclusionProof(TENANT, 1)).checkpoint.size).toBe(3);
    await grow(store, 3);
    expect((await checkpointer.inclusionProof(TENANT, 3)).checkpoint.size).toBe(3);
    expect((await checkpointer.consistencyProof(TENANT, 2)).checkpoint.size).toBe(3);
    expect((await checkpointer.inclusionProof(TENANT, 4)).checkpoint.size).toBe(6);
    await grow(store, 1);
    expect((await checkpointer.consistencyProof(TENANT, 7)).checkpoint.size).toBe(7);
  });

  test('of what does not exist', async () => {
    const store = new MemoryAuditStore();
    await grow(store, 3);
    const { checkpointer, incidents } = serverOn(store);
    for (const seq of [0, -1, 4, 1.5, Number.NaN, 2 ** 53]) {
      expect(await rejection(checkpointer.inclusionProof(TENANT, seq))).toBe('ENTRY_NOT_FOUND');
      expect(await rejection(checkpointer.receipt(TENANT, seq))).toBe('ENTRY_NOT_FOUND');
    }
    for (const size of [-1, 4, 0.5]) {
      expect(await rejection(checkpointer.consistencyProof(TENANT, size))).toBe('TREE_INVALID');
    }
    expect(await rejection(checkpointer.receipt('nobody', 1))).toBe('ENTRY_NOT_FOUND');
    expect(incidents).toEqual([]);
  });
});
