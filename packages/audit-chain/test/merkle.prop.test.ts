import { createHash } from 'node:crypto';
import { toHex } from '@minikms/crypto-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  consistencyProof,
  inclusionProof,
  MemoryNodes,
  ProofNodes,
  TreeFrontier,
  verifyConsistency,
  verifyInclusion,
} from '../src/index.ts';

// RFC 6962 §2.1, word for word.
const sha = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};
const node = (left: Uint8Array, right: Uint8Array): Uint8Array => sha(Uint8Array.of(1), left, right);
const split = (n: number): number => 2 ** (Math.ceil(Math.log2(n)) - 1);
type Hashes = readonly Uint8Array[];

function mth(leaves: Hashes): Uint8Array {
  if (leaves.length === 0) return sha();
  if (leaves.length === 1) return leaves[0]!;
  const k = split(leaves.length);
  return node(mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}

function path(m: number, leaves: Hashes): Hashes {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...path(m, leaves.slice(0, k)), mth(leaves.slice(k))]
    : [...path(m - k, leaves.slice(k)), mth(leaves.slice(0, k))];
}

function subproof(m: number, leaves: Hashes, whole: boolean): Hashes {
  if (m === leaves.length) return whole ? [] : [mth(leaves)];
  const k = split(leaves.length);
  return m <= k
    ? [...subproof(m, leaves.slice(0, k), whole), mth(leaves.slice(k))]
    : [...subproof(m - k, leaves.slice(k), false), mth(leaves.slice(0, k))];
}

const leafAt = (i: number): Uint8Array => sha(Buffer.from(`leaf ${i}`));
const LEAVES: Hashes = Array.from({ length: 300 }, (_, i) => leafAt(i));
const nodes = new MemoryNodes();
const tree = new TreeFrontier(nodes.sink);
const ROOTS: string[] = [toHex(tree.root())];
for (const leaf of LEAVES) {
  tree.append(leaf);
  ROOTS.push(toHex(tree.root()));
}
const rootOf = (size: number): Uint8Array => Buffer.from(ROOTS[size]!, 'hex');

const pair = fc.integer({ min: 1, max: 300 }).chain((n) => fc.tuple(fc.integer({ min: 1, max: n }), fc.constant(n)));
const change = (proof: Hashes, at: number, bit: number): Hashes =>
  proof.map((hash, i) => {
    const copy = Uint8Array.from(hash);
    if (i === at % proof.length) copy[bit >> 3]! ^= 1 << (bit & 7);
    return copy;
  });

test('roots are those of the recursive definition', () => {
  for (let size = 0; size <= 300; size += 1) expect(ROOTS[size]).toBe(toHex(mth(LEAVES.slice(0, size))));
});

test('inclusion proofs are those of the recursive definition, and verify', async () => {
  await fc.assert(
    fc.asyncProperty(pair, async ([m, n]) => {
      const proof = await inclusionProof(nodes, m - 1, n);
      expect(proof.map(toHex)).toEqual(path(m - 1, LEAVES.slice(0, n)).map(toHex));
      expect(verifyInclusion(LEAVES[m - 1]!, m - 1, n, proof, rootOf(n))).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test('consistency proofs are those of the recursive definition, and verify', async () => {
  await fc.assert(
    fc.asyncProperty(pair, async ([m, n]) => {
      const proof = await consistencyProof(nodes, m, n);
      expect(proof.map(toHex)).toEqual(subproof(m, LEAVES.slice(0, n), true).map(toHex));
      expect(verifyConsistency(m, n, rootOf(m), rootOf(n), proof)).toBe(true);
      expect(verifyConsistency(0, n, rootOf(0), rootOf(n), [])).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test('the nodes kept for one proof give it, wherever the log ends', async () => {
  await fc.assert(
    fc.asyncProperty(pair, async ([m, n]) => {
      const few = new ProofNodes(m - 1);
      const growing = new TreeFrontier(few.sink);
      for (const leaf of LEAVES.slice(0, n)) growing.append(leaf);
      expect((await inclusionProof(few, m - 1, n)).map(toHex)).toEqual(path(m - 1, LEAVES.slice(0, n)).map(toHex));
    }),
  );
});

test('a proof for something else does not verify', async () => {
  await fc.assert(
    fc.asyncProperty(
      pair,
      fc.nat(),
      fc.nat({ max: 255 }),
      fc.integer({ min: 1, max: 299 }),
      async ([m, n], at, bit, by) => {
        const leaf = LEAVES[m - 1]!;
        const proof = await inclusionProof(nodes, m - 1, n);
        expect(verifyInclusion(LEAVES[(m - 1 + by) % 300]!, m - 1, n, proof, rootOf(n))).toBe(false);
        expect(verifyInclusion(leaf, (m - 1 + by) % n, n, proof, rootOf(n))).toBe((m - 1 + by) % n === m - 1);
        expect(verifyInclusion(leaf, m - 1, n, [...proof, leaf], rootOf(n))).toBe(false);
        expect(verifyInclusion(leaf, m - 1, n, proof, rootOf((n + by) % 301))).toBe(false);
        const older = await consistencyProof(nodes, m, n);
        expect(verifyConsistency(m, n, rootOf((m + by) % 301), rootOf(n), older)).toBe(false);
        expect(verifyConsistency(m, n, rootOf(m), rootOf((n + by) % 301), older)).toBe(false);
        expect(verifyConsistency(m, n, rootOf(m), rootOf(n), [...older, leaf])).toBe(false);
        if (proof.length > 0) {
          expect(verifyInclusion(leaf, m - 1, n, change(proof, at, bit), rootOf(n))).toBe(false);
          expect(verifyInclusion(leaf, m - 1, n, proof.slice(1), rootOf(n))).toBe(false);
        }
        if (older.length > 0) {
          expect(verifyConsistency(m, n, rootOf(m), rootOf(n), change(older, at, bit))).toBe(false);
          expect(verifyConsistency(m, n, rootOf(m), rootOf(n), older.slice(0, -1))).toBe(false);
        }
      },
    ),
  );
});

test('whatever is verified, nothing throws', () => {
  const number = fc.oneof(fc.integer(), fc.double(), fc.maxSafeInteger(), fc.constant(Number.MAX_SAFE_INTEGER));
  const hash = fc.oneof(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ maxLength: 40 }));
  fc.assert(
    fc.property(number, number, hash, hash, fc.array(hash), (m, n, a, b, proof) => {
      expect(verifyInclusion(a, m, n, proof, b)).toBe(
        m === 0 && n === 1 && proof.length === 0 && toHex(a) === toHex(b),
      );
      expect(typeof verifyConsistency(m, n, a, b, proof)).toBe('boolean');
    }),
  );
});
