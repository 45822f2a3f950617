import { createHash } from 'node:crypto';
import { toHex } from '@minikms/crypto-core';
import { describe, expect, test } from 'vitest';
import {
  consistencyProof,
  emptyRoot,
  inclusionProof,
  leafHash,
  MemoryNodes,
  nodeHash,
  peaks,
  ProofNodes,
  TreeFrontier,
  verifyConsistency,
  verifyInclusion,
} from '../src/index.ts';
import { codeOf, h, rejection, vectorJson, vectorsAbsent } from './cases.ts';

interface Vectors {
  leaf_inputs_hex: string[];
  leaf_hashes: string[];
  root_hashes_by_size: string[];
  inclusion: { size: number; index: number; leaf_hash: string; proof: string[] }[];
  consistency: Record<string, number | string | string[]>[];
}

describe.skipIf(vectorsAbsent)('tlog/rfc6962-8leaf.json', () => {
  const vectors = vectorJson<Vectors>('tlog/rfc6962-8leaf.json');
  const nodes = new MemoryNodes();
  const tree = new TreeFrontier(nodes.sink);

  test('9 roots', () => {
    const roots = [toHex(tree.root())];
    for (const leaf of vectors.leaf_hashes) {
      tree.append(h(leaf));
      roots.push(toHex(tree.root()));
    }
    expect(roots).toEqual(vectors.root_hashes_by_size);
    const hashed = vectors.leaf_inputs_hex.map((input) =>
      createHash('sha256').update(h('00')).update(h(input)).digest('hex'),
    );
    expect(hashed).toEqual(vectors.leaf_hashes);
  });

  test('36 inclusion proofs', async () => {
    expect(vectors.inclusion).toHaveLength(36);
    for (const { size, index, leaf_hash, proof } of vectors.inclusion) {
      expect((await inclusionProof(nodes, index, size)).map(toHex)).toEqual(proof);
      expect(verifyInclusion(h(leaf_hash), index, size, proof.map(h), h(vectors.root_hashes_by_size[size]!))).toBe(
        true,
      );
    }
  });

  test('36 consistency proofs', async () => {
    expect(vectors.consistency).toHaveLength(36);
    for (const one of vectors.consistency) {
      const proof = one['proof'] as string[];
      const [older, newer] = Object.values(one)
        .filter((value) => typeof value === 'number')
        .toSorted((a, b) => a - b);
      const [m, n] = [older!, newer!];
      expect((await consistencyProof(nodes, m, n)).map(toHex)).toEqual(proof);
      const roots = vectors.root_hashes_by_size.map(h);
      expect(verifyConsistency(m, n, roots[m]!, roots[n]!, proof.map(h))).toBe(true);
    }
  });
});

const leafOf = (i: number): Uint8Array => createHash('sha256').update(`leaf ${i}`).digest();

test('a proof in a log of a million reads a few nodes, once', async () => {
  const nodes = new MemoryNodes();
  const few = new ProofNodes(777_777);
  const tree = new TreeFrontier((level, index, hash) => {
    nodes.sink(level, index, hash);
    few.sink(level, index, hash);
  });
  const size = 1_000_000;
  let own = new Uint8Array(0);
  for (let i = 0; i < size; i += 1) {
    const leaf = new Uint8Array(32);
    new DataView(leaf.buffer).setUint32(0, i);
    if (i === 777_777) own = leaf;
    tree.append(leaf);
  }
  const reads: number[] = [];
  const counting = {
    read: (ids: Parameters<MemoryNodes['read']>[0]) => {
      reads.push(ids.length);
      return nodes.read(ids);
    },
  };
  const proof = await inclusionProof(counting, 777_777, size);
  expect(verifyInclusion(own, 777_777, size, proof, tree.root())).toBe(true);
  expect((await inclusionProof(few, 777_777, size)).map(toHex)).toEqual(proof.map(toHex));
  await consistencyProof(counting, 654_321, size);
  expect(reads).toHaveLength(2);
  expect(Math.max(...reads)).toBeLessThanOrEqual(40);
});

test('a tree goes on from its stored peaks', async () => {
  const nodes = new MemoryNodes();
  const whole = new TreeFrontier(nodes.sink);
  const roots = [toHex(whole.root())];
  for (let i = 0; i < 40; i += 1) {
    whole.append(leafOf(i));
    roots.push(toHex(whole.root()));
  }
  for (let size = 0; size <= 40; size += 1) {
    const tree = TreeFrontier.resume(size, await nodes.read(peaks(size)));
    expect(toHex(tree.root())).toBe(roots[size]);
    for (let i = size; i < 40; i += 1) tree.append(leafOf(i));
    expect(toHex(tree.root())).toBe(roots[40]);
  }
});

test('what no tree has is refused', async () => {
  const nodes = new MemoryNodes();
  expect(await rejection(inclusionProof(nodes, 1, 1))).toBe('TREE_INVALID');
  expect(await rejection(inclusionProof(nodes, -1, 1))).toBe('TREE_INVALID');
  expect(await rejection(inclusionProof(nodes, 0.5, 2))).toBe('TREE_INVALID');
  expect(await rejection(inclusionProof(nodes, 0, 2 ** 53))).toBe('TREE_INVALID');
  expect(await rejection(inclusionProof(nodes, 0, 2))).toBe('TREE_INVALID');
  expect(await rejection(inclusionProof({ read: async () => [] }, 0, 2))).toBe('TREE_INVALID');
  expect(await rejection(consistencyProof(nodes, 3, 2))).toBe('TREE_INVALID');
  expect(await rejection(new ProofNodes(0).read([{ level: 0, index: 9 }]))).toBe('TREE_INVALID');
  expect(codeOf(() => nodes.sink(0, 1, leafOf(1)))).toBe('TREE_INVALID');
  expect(codeOf(() => TreeFrontier.resume(3, [leafOf(0)]))).toBe('TREE_INVALID');
  expect(codeOf(() => peaks(-1))).toBe('TREE_INVALID');
  expect(codeOf(() => leafHash(new Uint8Array(31)))).toBe('TREE_INVALID');
  expect(codeOf(() => nodeHash(new Uint8Array(32), new Uint8Array(33)))).toBe('TREE_INVALID');
  expect(toHex(emptyRoot())).toBe(createHash('sha256').digest('hex'));
});
