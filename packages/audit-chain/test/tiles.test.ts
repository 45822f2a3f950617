import { toHex } from '@minikms/crypto-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  consistencyProof,
  inclusionProof,
  leafHash,
  peaks,
  type StoredNode,
  TreeFrontier,
  TreeReader,
  treeAt,
} from '../src/index.ts';
import { collector } from '../src/tiles.ts';
import { rejection } from './cases.ts';
import { hashAt, syntheticTree, SyntheticStore } from './synthetic-store.ts';

const LARGEST = 66_100;
/** Where tiles and trees of tiles begin and end. */
const SIZES = [1, 2, 3, 255, 256, 257, 511, 512, 513, 1000, 65_279, 65_280, 65_535, 65_536, 65_537, 65_793, LARGEST];
const { nodes, roots } = syntheticTree(LARGEST, SIZES);

/** Every node that is to be stored, as a tree that grows gives them. */
const whole: StoredNode[] = [];
const growing = new TreeFrontier(collector(whole));
for (let seq = 1; seq <= LARGEST; seq += 1) growing.append(leafHash(hashAt(seq)));

/** A store whose nodes are covered by a checkpoint of so many entries. */
function storeWith(size: number, covered: number): SyntheticStore {
  const store = new SyntheticStore(size);
  store.keep(whole.filter(({ level, index }) => (index + 1) * 2 ** level <= covered));
  return store;
}

const hex = (hashes: readonly Uint8Array[]): readonly string[] => hashes.map(toHex);
const sizes = fc.oneof(fc.constantFrom(...SIZES), fc.integer({ min: 1, max: LARGEST }));

test('what is stored are whole nodes of every eighth level', () => {
  expect(whole.filter(({ level }) => level === 8).map(({ index }) => index)).toEqual([...Array(258).keys()]);
  expect(whole.filter(({ level }) => level !== 8).map(({ level, index }) => [level, index])).toEqual([[16, 0]]);
});

describe('every node and proof is that of a tree in memory', () => {
  test.each(SIZES)('at size %i', async (size) => {
    const reader = new TreeReader(storeWith(size, size), 'acme', size);
    const all = [...peaks(size)];
    for (let level = 0; 2 ** level <= size; level += 1) {
      const last = Math.floor(size / 2 ** level) - 1;
      all.push(...[0, last, Math.floor(last / 2)].map((index) => ({ level, index })));
    }
    expect(hex(await reader.read(all))).toEqual(hex(await nodes.read(all)));
    for (const index of new Set([0, Math.floor(size / 2), size - 1, Math.max(0, size - 257)])) {
      expect(hex(await inclusionProof(reader, index, size))).toEqual(hex(await inclusionProof(nodes, index, size)));
    }
    for (const older of SIZES.filter((one) => one <= size)) {
      const proof = await consistencyProof(reader, older, size);
      expect(hex(proof)).toEqual(hex(await consistencyProof(nodes, older, size)));
    }
    expect(toHex((await treeAt(storeWith(size, size), 'acme', size)).root())).toBe(toHex(roots.get(size)!));
  });

  test('at any size, however much of it is stored', async () => {
    const place = sizes.chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1), fc.nat(size)));
    await fc.assert(
      fc.asyncProperty(place, fc.constantFrom(0, 0.3, 1), async ([size, index, older], part) => {
        const reader = new TreeReader(storeWith(size, Math.floor(size * part)), 'acme', size);
        expect(hex(await inclusionProof(reader, index, size))).toEqual(hex(await inclusionProof(nodes, index, size)));
        expect(hex(await consistencyProof(reader, older, size))).toEqual(
          hex(await consistencyProof(nodes, older, size)),
        );
      }),
      { numRuns: 20 },
    );
  });

  test('a tree goes on from any size to any other', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(700), async (size, more) => {
        const collected: StoredNode[] = [];
        const tree = await treeAt(storeWith(LARGEST, size), 'acme', size, collector(collected));
        const end = Math.min(LARGEST, size + more);
        for (let seq = size + 1; seq <= end; seq += 1) tree.append(leafHash(hashAt(seq)));
        expect(hex(tree.hashes())).toEqual(hex(await nodes.read(peaks(end))));
        const expected = whole.filter(({ level, index }) => {
          const at = (index + 1) * 2 ** level;
          return at > size && at <= end;
        });
        expect(collected.map((one) => toHex(one.hash)).toSorted()).toEqual(
          hex(expected.map((one) => one.hash)).toSorted(),
        );
      }),
      { numRuns: 20 },
    );
  });
});

describe('what is read', () => {
  test('for a proof: a tile of 256 hashes at most for each that it passes', async () => {
    for (const [index, size] of [
      [0, LARGEST],
      [40_000, LARGEST],
      [LARGEST - 1, LARGEST],
      [65_535, 65_536],
      [65_536, 65_537],
    ] as const) {
      const store = storeWith(size, size);
      await inclusionProof(new TreeReader(store, 'acme', size), index, size);
      expect(store.reads.length).toBeLessThanOrEqual(5);
      expect(store.reads.every((read) => Number(read.split(' ')[1]) <= 256)).toBe(true);
    }
  });

  test('for a tree without entries: nothing', async () => {
    const store = new SyntheticStore(0);
    expect((await treeAt(store, 'acme', 0)).size).toBe(0);
    expect(store.reads).toEqual([]);
  });
});

describe('what is refused', () => {
  test('a node that is not whole, and numbers that no tree has', async () => {
    const reader = new TreeReader(storeWith(257, 257), 'acme', 257);
    for (const id of [
      { level: 0, index: 257 },
      { level: 8, index: 1 },
      { level: 1, index: 128 },
      { level: -1, index: 0 },
      { level: 0, index: 0.5 },
    ]) {
      expect([id, await rejection(reader.read([id]))]).toEqual([id, 'TREE_INVALID']);
    }
    expect(() => new TreeReader(storeWith(1, 1), 'acme', -1)).toThrow('a tree size');
  });

  test('a log that has fewer entries than the tree', async () => {
    expect(await rejection(treeAt(storeWith(299, 256), 'acme', 300))).toBe('AUDIT_LOG_FORKED');
    expect(await rejection(treeAt(storeWith(100, 0), 'acme', 300))).toBe('AUDIT_LOG_FORKED');
  });
});
