import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { toHex } from '@minikms/crypto-core';
import { describe, expect, test } from 'vitest';
import {
  emptyRoot,
  inclusionProof,
  intervalLeaf,
  MemoryNodes,
  nodeHash,
  type StoredCheckpoint,
  SYSTEM_TENANT,
  TreeFrontier,
  verifyInclusion,
} from '../src/index.ts';
import { IntervalRoot } from '../src/interval-root.ts';
import { MemoryAuditStore } from '../src/testing/memory.ts';
import { expectCheckpoint, grow, logOf, serverOn } from './checkpointer-cases.ts';

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

function detailsOf(logs: readonly StoredCheckpoint[], failed = 0): string {
  const tree = new TreeFrontier();
  for (const log of logs) tree.append(intervalLeaf(log));
  return `{"failed":${failed},"logs":${logs.length},"root":"${base64(tree.root())}"}`;
}

const stored = async (store: MemoryAuditStore, ids: readonly string[]): Promise<readonly StoredCheckpoint[]> =>
  Promise.all(ids.map(async (id) => (await store.checkpoint(id))!));

test('a leaf is hashed as spec/audit-chain.md §9 has it', () => {
  const root = new Uint8Array(32).fill(9);
  const number = (n: number): Buffer => Buffer.concat([Buffer.alloc(4), Buffer.of(0, 0, n >> 8, n & 255)]);
  const lp = (bytes: Uint8Array): Buffer => Buffer.concat([number(bytes.length), bytes]);
  const hash = createHash('sha256')
    .update(Buffer.of(0))
    .update('minikms/audit/interval/v1')
    .update(lp(Buffer.from('acmé')))
    .update(lp(number(3)))
    .update(lp(number(700)))
    .update(lp(root));
  const leaf = { tenantId: 'acmé', epoch: 3, size: 700, root };
  expect(toHex(intervalLeaf(leaf))).toBe(hash.digest('hex'));
  const two = new IntervalRoot();
  two.add(leaf);
  two.add({ ...leaf, tenantId: 'b' });
  expect(toHex(two.root())).toBe(toHex(nodeHash(intervalLeaf(leaf), intervalLeaf({ ...leaf, tenantId: 'b' }))));
});

describe('an interval', () => {
  test('signs for every log that grew but its own, and says so in the order of their ids as bytes', async () => {
    const store = new MemoryAuditStore();
    // As UTF-16 the last two would stand the other way round.
    const ids = ['!', 'A', 'a', 'é', '\uff5e', '😀'];
    for (const id of [...ids, SYSTEM_TENANT].toReversed()) await grow(store, 3, id);
    const { checkpointer } = serverOn(store);
    const details = await checkpointer.interval();
    const logs = await stored(store, ids);
    expect(details).toBe(detailsOf(logs));
    for (const log of logs) expectCheckpoint(log, await logOf(store, log.tenantId));
    expect(await store.checkpoint(SYSTEM_TENANT)).toBeUndefined();
    await grow(store, 1, 'a');
    expect(await checkpointer.interval()).toBe(detailsOf(await stored(store, ['a'])));
  });

  test('in which nothing grew', async () => {
    const store = new MemoryAuditStore();
    const { checkpointer } = serverOn(store);
    const idle = `{"failed":0,"logs":0,"root":"${base64(emptyRoot())}"}`;
    expect(await checkpointer.interval()).toBe(idle);
    await grow(store, 1, 'a');
    await checkpointer.interval();
    const before = store.calls.length;
    expect(await checkpointer.interval()).toBe(idle);
    expect(store.calls.slice(before).map(({ method }) => method)).toEqual(['grown']);
  });

  test('reports what was signed for on demand', async () => {
    const store = new MemoryAuditStore();
    await grow(store, 3, 'a');
    const [one, other] = [serverOn(store), serverOn(store)];
    await other.checkpointer.receipt('a', 2);
    expect(await one.checkpointer.interval()).toBe(detailsOf(await stored(store, ['a'])));
    await grow(store, 3, 'a');
    await one.checkpointer.checkpoint('a');
    expect(await one.checkpointer.interval()).toBe(detailsOf(await stored(store, ['a'])));
    expect(await one.checkpointer.interval()).toBe(detailsOf([]));
  });

  test('of many logs, a few at a time', async () => {
    const store = new MemoryAuditStore();
    const ids = Array.from({ length: 600 }, (_, i) => `t${String(i).padStart(3, '0')}`);
    for (const id of ids) await grow(store, 1, id);
    const { checkpointer, known } = serverOn(store);
    const publish = known.publish.bind(known);
    let [now, most] = [0, 0];
    known.publish = async (...args) => {
      most = Math.max(most, (now += 1));
      await sleep(0);
      await publish(...args);
      now -= 1;
    };
    expect(await checkpointer.interval()).toBe(detailsOf(await stored(store, ids)));
    expect(most).toBe(4);
  });

  test('goes on past a log that it cannot sign for', async () => {
    const store = new MemoryAuditStore();
    for (const id of ['a', 'b', 'c', 'd']) await grow(store, 5, id);
    const { checkpointer, known, incidents, problems } = serverOn(store);
    await checkpointer.interval();
    for (const id of ['a', 'b', 'c', 'd']) await grow(store, 5, id);
    store.rollBack('b', 3);
    store.fate = ({ method, tenantIds }) =>
      method === 'saveCheckpoint' && tenantIds[0] === 'c' ? 'lost before' : 'done';
    expect(await checkpointer.interval()).toBe(detailsOf(await stored(store, ['a', 'd']), 2));
    expect(incidents.map(({ tenantId }) => tenantId)).toEqual(['b']);
    expect(problems.map((problem) => (problem as { code: string }).code).toSorted()).toEqual([
      'AUDIT_LOG_BEHIND',
      'STORE_UNAVAILABLE',
    ]);
    expect((await known.highest('b'))?.size).toBe(5);
    store.fate = () => 'done';
    expect(await checkpointer.interval()).toBe(detailsOf(await stored(store, ['c']), 1));
  });

  test('fails when the store does, and its logs are reported by the next', async () => {
    const store = new MemoryAuditStore();
    await grow(store, 1, 'a');
    const { checkpointer } = serverOn(store);
    store.down = true;
    await expect(checkpointer.interval()).rejects.toThrow('the store is down');
    store.down = false;
    expect(await checkpointer.interval()).toBe(detailsOf(await stored(store, ['a'])));
  });

  test('proves that a log was at a size, by its leaf', async () => {
    const store = new MemoryAuditStore();
    const ids = ['a', 'b', 'c', 'd', 'e'];
    for (const id of ids) await grow(store, 2, id);
    const details = JSON.parse(await serverOn(store).checkpointer.interval()) as { root: string };
    const nodes = new MemoryNodes();
    const tree = new TreeFrontier(nodes.sink);
    const leaves = (await stored(store, ids)).map(intervalLeaf);
    for (const leaf of leaves) tree.append(leaf);
    const proof = await inclusionProof(nodes, 2, 5);
    expect(verifyInclusion(leaves[2]!, 2, 5, proof, Buffer.from(details.root, 'base64'))).toBe(true);
  });
});
