import { HASH_LENGTH } from './bounds.ts';
import { AuditError } from './errors.ts';
import type { NodeId, NodeSink } from './merkle.ts';
import type { NodeReader } from './proof.ts';

/** Every whole node of a tree in memory, 64 bytes for each leaf; `sink` is what a `TreeFrontier` feeds. */
export class MemoryNodes implements NodeReader {
  /** By level, the hashes one after another. */
  readonly #levels: Uint8Array[] = [];
  readonly #counts: number[] = [];

  readonly sink: NodeSink = (level, index, hash) => {
    const count = this.#counts[level] ?? 0;
    if (index !== count) throw new AuditError('TREE_INVALID', 'nodes of a level are stored from the left');
    let bytes = this.#levels[level] ?? new Uint8Array(HASH_LENGTH * 16);
    if (bytes.length === count * HASH_LENGTH) {
      const larger = new Uint8Array(bytes.length * 2);
      larger.set(bytes);
      bytes = larger;
    }
    bytes.set(hash, count * HASH_LENGTH);
    this.#levels[level] = bytes;
    this.#counts[level] = count + 1;
  };

  /** @throws AuditError `TREE_INVALID` for a node that is not stored. */
  async read(ids: readonly NodeId[]): Promise<readonly Uint8Array[]> {
    return ids.map(({ level, index }) => {
      if (index >= (this.#counts[level] ?? 0)) throw new AuditError('TREE_INVALID', 'there is no such node');
      return this.#levels[level]!.slice(index * HASH_LENGTH, (index + 1) * HASH_LENGTH);
    });
  }
}

/**
 * The few nodes that the proof of one leaf may need, whatever the size of the tree will be: the siblings on its way up,
 * and the right edge as it stands. For a proof from one pass over a log that does not fit into memory.
 */
export class ProofNodes implements NodeReader {
  readonly #index: number;
  readonly #siblings = new Map<number, Uint8Array>();
  /** By level, the newest whole node; its neighbour on the left is a peak before it merges. */
  readonly #edge = new Map<number, { readonly index: number; readonly hash: Uint8Array }>();

  constructor(index: number) {
    this.#index = index;
  }

  readonly sink: NodeSink = (level, index, hash) => {
    const own = Math.floor(this.#index / 2 ** level);
    if (index === (own % 2 === 0 ? own + 1 : own - 1)) this.#siblings.set(level, hash);
    this.#edge.set(level, { index, hash });
  };

  /** @throws AuditError `TREE_INVALID` for a node that was not kept. */
  async read(ids: readonly NodeId[]): Promise<readonly Uint8Array[]> {
    return ids.map(({ level, index }) => {
      const edge = this.#edge.get(level);
      if (edge?.index === index) return edge.hash;
      const own = Math.floor(this.#index / 2 ** level);
      const sibling = this.#siblings.get(level);
      if (sibling !== undefined && index === (own % 2 === 0 ? own + 1 : own - 1)) return sibling;
      throw new AuditError('TREE_INVALID', 'this node was not kept');
    });
  }
}
