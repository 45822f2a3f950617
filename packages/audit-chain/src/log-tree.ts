import { setImmediate as turn } from 'node:timers/promises';
import { equal } from '@minikms/crypto-core';
import { HASH_LENGTH } from './bounds.ts';
import { AuditError } from './errors.ts';
import { emptyRoot, leafHash, TreeFrontier } from './merkle.ts';
import type { StoredNode } from './ports.ts';
import { collector, missing, type TileStore, treeAt } from './tiles.ts';

/** Entries that are hashed between two turns of the event loop, about five milliseconds. */
const CHUNK = 4096;

/** The tree over a log at a size, as it was computed from the store. Never changed: what fails leaves it as it was. */
export interface LogTree {
  readonly epoch: number;
  readonly size: number;
  readonly root: Uint8Array;
  /** As `TreeFrontier.resume` takes them. */
  readonly hashes: readonly Uint8Array[];
  /** `entry_hash` of the last entry: a log that has another there is another log. */
  readonly last: Uint8Array;
}

/** A root that a log has had to have at a size. */
export interface Waypoint {
  readonly size: number;
  readonly root: Uint8Array;
  /** Who says so, for people. */
  readonly by: string;
}

export function emptyTree(epoch: number): LogTree {
  return { epoch, size: 0, root: emptyRoot(), hashes: [], last: new Uint8Array(HASH_LENGTH) };
}

/** The store lost entries that the log had. */
export function behind(why: string): AuditError {
  return new AuditError('AUDIT_LOG_BEHIND', `the log is behind: ${why}`);
}

/** The store has other entries than the log had. */
export function forked(why: string): AuditError {
  return new AuditError('AUDIT_LOG_FORKED', `the log is not the one that was signed: ${why}`);
}

/**
 * The tree at the size of a checkpoint, from the nodes that are stored; from the entries when the nodes do not give its
 * root: they only save work, and a spoilt one is no other log.
 *
 * @throws AuditError `AUDIT_LOG_FORKED` when the entries give another root; as the store.
 */
export async function storedTree(
  store: TileStore,
  tenantId: string,
  epoch: number,
  waypoint: Waypoint,
): Promise<LogTree> {
  const { size } = waypoint;
  if (size === 0) return emptyTree(epoch);
  try {
    return await treeOfNodes(store, tenantId, epoch, waypoint);
  } catch (error) {
    if (!(error instanceof AuditError) || error.code !== 'AUDIT_LOG_FORKED') throw error;
  }
  const found = await grownTree(store, tenantId, emptyTree(epoch), size, []);
  compare(found, waypoint);
  return found;
}

async function treeOfNodes(store: TileStore, tenantId: string, epoch: number, waypoint: Waypoint): Promise<LogTree> {
  const { size } = waypoint;
  const [tree, [last]] = await Promise.all([treeAt(store, tenantId, size), store.entryHashes(tenantId, size, size)]);
  if (last === undefined) throw missing(size, size);
  const found = { epoch, size, root: tree.root(), hashes: tree.hashes(), last: last.slice() };
  compare(found, waypoint);
  return found;
}

/**
 * The tree at a larger size, from the entries.
 *
 * @param nodes gets the nodes to be stored that became whole.
 * @throws AuditError `AUDIT_LOG_FORKED` when the log does not go on from the last entry of the tree; as the store.
 */
export async function grownTree(
  store: TileStore,
  tenantId: string,
  tree: LogTree,
  size: number,
  nodes: StoredNode[],
): Promise<LogTree> {
  const frontier = TreeFrontier.resume(tree.size, tree.hashes, collector(nodes));
  let { last } = tree;
  while (frontier.size < size) {
    // The last entry is read again: since then the log may have become another.
    const from = Math.max(1, frontier.size);
    const to = Math.min(size, frontier.size + CHUNK);
    const hashes = await store.entryHashes(tenantId, from, to);
    if (hashes.length !== to - from + 1) throw missing(from, to);
    const old = frontier.size === 0 ? 0 : 1;
    if (old === 1 && !equal(hashes[0]!, last)) throw forked(`entry ${from} was replaced`);
    for (const hash of hashes.slice(old)) frontier.append(leafHash(hash));
    // A copy: the hashes of a page may lie in one buffer.
    last = hashes.at(-1)!.slice();
    await turn();
  }
  return { epoch: tree.epoch, size, root: frontier.root(), hashes: frontier.hashes(), last };
}

/** @throws AuditError `AUDIT_LOG_FORKED` when the tree, of the size of the waypoint, has another root. */
export function compare(tree: LogTree, { size, root, by }: Waypoint): void {
  if (!equal(tree.root, root)) throw forked(`the root of its first ${size} entries is not that of ${by}`);
}
