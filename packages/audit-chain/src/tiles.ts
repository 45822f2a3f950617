import { AuditError } from './errors.ts';
import { checkTreeNumber, leafHash, type NodeId, nodeHash, type NodeSink, peaks, TreeFrontier } from './merkle.ts';
import type { EntryReader, StoredNode, TreeStore } from './ports.ts';
import type { NodeReader } from './proof.ts';

/** Where the nodes of a tree and the hashes of its leaves are read. */
export type TileStore = Pick<EntryReader, 'entryHashes'> & Pick<TreeStore, 'nodes'>;

/** Levels between one that is stored and the next, and how many nodes of it are below one of the next. */
const HEIGHT = 8;
const WIDTH = 2 ** HEIGHT;

/** Consecutive nodes of a level that is a multiple of 8. */
interface Range {
  readonly level: number;
  readonly from: number;
  readonly to: number;
}

/**
 * The nodes of the tree over a log as it was at a size. Every eighth level is stored, level 0 follows from the entries,
 * and what lies between is computed: a proof takes one read of at most 256 hashes for each tile of 256 nodes that it
 * passes, about five in a log of a million entries, all at once.
 */
export class TreeReader implements NodeReader {
  readonly #store: TileStore;
  readonly #tenantId: string;
  readonly #size: number;

  constructor(store: TileStore, tenantId: string, size: number) {
    checkTreeNumber('a tree size', size);
    this.#store = store;
    this.#tenantId = tenantId;
    this.#size = size;
  }

  /**
   * @throws AuditError `TREE_INVALID` for a node that is not whole at this size; `AUDIT_LOG_FORKED` when entries are
   * missing. As the store.
   */
  async read(ids: readonly NodeId[]): Promise<readonly Uint8Array[]> {
    const ranges = ids.map((id) => this.#below(id));
    const tiles = new Map<string, Range>();
    for (const range of ranges) {
      const name = tileOf(range);
      const other = tiles.get(name) ?? range;
      tiles.set(name, { ...range, from: Math.min(range.from, other.from), to: Math.max(range.to, other.to) });
    }
    const read = await Promise.all(
      [...tiles].map(async ([name, tile]) => [name, tile.from, await this.#load(tile)] as const),
    );
    const loaded = new Map(read.map(([name, from, hashes]) => [name, { from, hashes }]));
    return ranges.map((range) => {
      const { from, hashes } = loaded.get(tileOf(range))!;
      return fold(hashes.slice(range.from - from, range.to - from + 1));
    });
  }

  /** The nodes of a stored level that a node is made of. */
  #below({ level, index }: NodeId): Range {
    checkTreeNumber('a level', level);
    checkTreeNumber('an index', index);
    if ((index + 1) * 2 ** level > this.#size) throw new AuditError('TREE_INVALID', 'this node is not whole');
    const stored = level - (level % HEIGHT);
    const count = 2 ** (level - stored);
    return { level: stored, from: index * count, to: (index + 1) * count - 1 };
  }

  async #load({ level, from, to }: Range): Promise<readonly Uint8Array[]> {
    if (level === 0) {
      const hashes = await this.#store.entryHashes(this.#tenantId, from + 1, to + 1);
      if (hashes.length !== to - from + 1) throw missing(from + 1, to + 1);
      return hashes.map(leafHash);
    }
    const hashes = [...(await this.#store.nodes(this.#tenantId, level, from, to))];
    // Not covered by a checkpoint that was saved: a rare case, in which reading much at once would be worse than waiting.
    for (let index = from + hashes.length; index <= to; index += 1) {
      const below = { level: level - HEIGHT, from: index * WIDTH, to: (index + 1) * WIDTH - 1 };
      hashes.push(fold(await this.#load(below)));
    }
    return hashes;
  }
}

/**
 * The tree over a log at a size, to go on from.
 *
 * @throws AuditError as {@link TreeReader}; as the store.
 */
export async function treeAt(store: TileStore, tenantId: string, size: number, sink?: NodeSink): Promise<TreeFrontier> {
  const hashes = await new TreeReader(store, tenantId, size).read(peaks(size));
  return TreeFrontier.resume(size, hashes, sink);
}

/** Collects the nodes that are to be stored as they become whole. */
export function collector(nodes: StoredNode[]): NodeSink {
  return (level, index, hash) => {
    if (level > 0 && level % HEIGHT === 0) nodes.push({ level, index, hash });
  };
}

/** Internal: what a store says that has fewer entries than its head. */
export function missing(from: number, to: number): AuditError {
  return new AuditError('AUDIT_LOG_FORKED', `entries ${from} to ${to} of the log are not all there`);
}

function tileOf({ level, from }: Range): string {
  return `${level}/${Math.floor(from / WIDTH)}`;
}

/** The node over a power of two of nodes. */
function fold(hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes;
  while (row.length > 1) {
    const below = row;
    row = Array.from({ length: below.length / 2 }, (_, i) => nodeHash(below[2 * i]!, below[2 * i + 1]!));
  }
  return row[0]!;
}
