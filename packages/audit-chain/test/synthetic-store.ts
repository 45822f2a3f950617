import { createHash } from 'node:crypto';
import {
  type Head,
  leafHash,
  MemoryNodes,
  type StoredCheckpoint,
  type StoredNode,
  TreeFrontier,
} from '../src/index.ts';
import type { SignerStore } from '../src/tree-signer.ts';

/** What `entry_hash` number `seq` is in a log of which nothing else is known. */
export function hashAt(seq: number): Uint8Array {
  return createHash('sha256').update(`entry ${seq}`).digest();
}

/** All nodes and some roots of the tree over `hashAt(1)` to `hashAt(size)`. */
export function syntheticTree(
  size: number,
  rootsAt: readonly number[] = [],
): { readonly nodes: MemoryNodes; readonly tree: TreeFrontier; readonly roots: ReadonlyMap<number, Uint8Array> } {
  const nodes = new MemoryNodes();
  const tree = new TreeFrontier(nodes.sink);
  const roots = new Map<number, Uint8Array>();
  const wanted = new Set([0, ...rootsAt]);
  for (let seq = 0; seq <= size; seq += 1) {
    if (seq > 0) tree.append(leafHash(hashAt(seq)));
    if (wanted.has(seq)) roots.set(seq, tree.root());
  }
  return { nodes, tree, roots };
}

/** A store of one log that has nothing but hashes: large logs cost little. */
export class SyntheticStore implements SignerStore {
  /** What was read, as `method: how many hashes`. */
  readonly reads: string[] = [];
  readonly saved: StoredCheckpoint[] = [];
  readonly stored: Map<string, Uint8Array> = new Map();
  size: number;

  constructor(size: number) {
    this.size = size;
  }

  async head(): Promise<Head> {
    return { seq: this.size, hash: hashAt(this.size), epoch: 1 };
  }

  async entryHashes(_: string, from: number, to: number): Promise<readonly Uint8Array[]> {
    this.#read('entryHashes', to - from + 1);
    return Array.from({ length: Math.max(0, Math.min(to, this.size) - from + 1) }, (__, i) => hashAt(from + i));
  }

  async nodes(_: string, level: number, from: number, to: number): Promise<readonly Uint8Array[]> {
    this.#read('nodes', to - from + 1);
    const indexes = Array.from({ length: to - from + 1 }, (__, i) => from + i);
    return indexes.flatMap((index) => this.stored.get(`${level}/${index}`) ?? []);
  }

  async checkpoint(): Promise<StoredCheckpoint | undefined> {
    return this.saved.at(-1);
  }

  async saveCheckpoint(checkpoint: StoredCheckpoint, nodes: readonly StoredNode[]): Promise<boolean> {
    this.saved.push(checkpoint);
    this.keep(nodes);
    return true;
  }

  keep(nodes: readonly StoredNode[]): void {
    for (const { level, index, hash } of nodes) this.stored.set(`${level}/${index}`, hash);
  }

  #read(method: string, count: number): void {
    this.reads.push(`${method}: ${count}`);
  }
}
