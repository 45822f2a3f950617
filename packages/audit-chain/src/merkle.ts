import { hash } from 'node:crypto';
import { HASH_LENGTH } from './bounds.ts';
import { AuditError } from './errors.ts';

/** A node of the tree: `index` counts from the left at its level, leaves are level 0. */
export interface NodeId {
  readonly level: number;
  readonly index: number;
}

const leaf = new Uint8Array(1 + HASH_LENGTH);
const node = new Uint8Array(1 + 2 * HASH_LENGTH);
node[0] = 1;

/** spec/audit-chain.md §4: the leaf of an entry, SHA-256(0x00 ‖ entry_hash). */
export function leafHash(entryHash: Uint8Array): Uint8Array {
  if (entryHash.length !== HASH_LENGTH) throw new AuditError('TREE_INVALID', 'a leaf is made of a hash of 32 bytes');
  leaf.set(entryHash, 1);
  return hash('sha256', leaf, 'buffer');
}

/** RFC 6962 §2.1: SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length !== HASH_LENGTH || right.length !== HASH_LENGTH) {
    throw new AuditError('TREE_INVALID', 'a node is made of two hashes of 32 bytes');
  }
  node.set(left, 1);
  node.set(right, 1 + HASH_LENGTH);
  return hash('sha256', node, 'buffer');
}

/** RFC 6962 §2.1: the root of a tree without leaves is SHA-256 of nothing. */
export function emptyRoot(): Uint8Array {
  return hash('sha256', new Uint8Array(0), 'buffer');
}

/** @throws AuditError `TREE_INVALID` unless an integer in `min`..2^53 - 1. */
export function checkTreeNumber(what: string, n: number, min = 0): void {
  if (!Number.isSafeInteger(n) || n < min) {
    throw new AuditError('TREE_INVALID', `${what} must be an integer from ${min} to 2^53 - 1`);
  }
}

/** The largest whole subtrees of a tree of this size, from the left: what `TreeFrontier` is made of. */
export function peaks(size: number): readonly NodeId[] {
  checkTreeNumber('a tree size', size);
  const out: NodeId[] = [];
  for (let level = 0, index = size; index > 0; level += 1, index = Math.floor(index / 2)) {
    if (index % 2 === 1) out.push({ level, index: index - 1 });
  }
  return out.reverse();
}

/** Is told of every node of the tree once, when it is complete. `hash` is its own and may be kept. */
export type NodeSink = (level: number, index: number, hash: Uint8Array) => void;

/** A growing RFC 6962 tree of which only the right edge is kept: O(log n) memory, O(1) hashes for each leaf. */
export class TreeFrontier {
  /** By level; a level counts when its bit in the size is set. */
  readonly #peaks: Uint8Array[] = [];
  readonly #sink: NodeSink | undefined;
  #size = 0;

  constructor(sink?: NodeSink) {
    this.#sink = sink;
  }

  /**
   * A tree that goes on from a size, of which the nodes named by {@link peaks} were stored.
   *
   * @throws AuditError `TREE_INVALID` unless there is a hash for each.
   */
  static resume(size: number, hashes: readonly Uint8Array[], sink?: NodeSink): TreeFrontier {
    const ids = peaks(size);
    if (hashes.length !== ids.length || hashes.some((one) => one.length !== HASH_LENGTH)) {
      throw new AuditError('TREE_INVALID', `a tree of ${size} leaves goes on from ${ids.length} hashes`);
    }
    const tree = new TreeFrontier(sink);
    tree.#size = size;
    for (const [i, { level }] of ids.entries()) tree.#peaks[level] = hashes[i]!.slice();
    return tree;
  }

  get size(): number {
    return this.#size;
  }

  /** Takes the next leaf's hash, as {@link leafHash} makes it. */
  append(leafHashBytes: Uint8Array): void {
    let hashed = leafHashBytes;
    let level = 0;
    let index = this.#size;
    this.#sink?.(level, index, hashed);
    for (; index % 2 === 1; level += 1) {
      hashed = nodeHash(this.#peaks[level]!, hashed);
      index = (index - 1) / 2;
      this.#sink?.(level + 1, index, hashed);
    }
    this.#peaks[level] = hashed;
    this.#size += 1;
  }

  /** The hashes of the nodes that {@link peaks} names, from which `resume` goes on. */
  hashes(): readonly Uint8Array[] {
    return peaks(this.#size).map(({ level }) => this.#peaks[level]!);
  }

  root(): Uint8Array {
    const hashes = this.hashes();
    return hashes.length === 0 ? emptyRoot() : hashes.reduceRight((right, left) => nodeHash(left, right)).slice();
  }
}
