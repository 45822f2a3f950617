import { equal } from '@minikms/crypto-core';
import { AuditError } from './errors.ts';
import { checkTreeNumber, emptyRoot, nodeHash, type NodeId, peaks } from './merkle.ts';

/** Where whole nodes of a tree are stored. Asked once for all that a proof needs, at most about 2 log2(size). */
export interface NodeReader {
  /** The hashes of these nodes, in this order. */
  read(ids: readonly NodeId[]): Promise<readonly Uint8Array[]>;
}

const half = (n: number): number => Math.floor(n / 2);

/** For each hash of a proof, the stored nodes that it is made of: one, or the peaks of an unfinished right side. */
type Plan = readonly (readonly NodeId[])[];

/** RFC 6962 §2.1.1: the siblings from a node up to the root of a tree of this size. */
function pathPlan(from: NodeId, size: number): Plan {
  const plan: (readonly NodeId[])[] = [];
  let { level, index } = from;
  let last = Math.floor((size - 1) / 2 ** level);
  for (; last > 0; level += 1, index = half(index), last = half(last)) {
    const sibling = index % 2 === 0 ? index + 1 : index - 1;
    if (sibling > last) continue;
    const whole = (sibling + 1) * 2 ** level <= size;
    const below = level;
    plan.push(whole ? [{ level, index: sibling }] : peaks(size).filter((peak) => peak.level < below));
  }
  return plan;
}

async function carryOut(plan: Plan, nodes: NodeReader): Promise<readonly Uint8Array[]> {
  const ids = plan.flat();
  const hashes = ids.length === 0 ? [] : await nodes.read(ids);
  if (hashes.length !== ids.length) throw new AuditError('TREE_INVALID', 'a node that the proof needs is not stored');
  let at = 0;
  return plan.map(({ length }) => {
    const parts = hashes.slice(at, at + length);
    at += length;
    return parts.reduceRight((right, left) => nodeHash(left, right));
  });
}

/**
 * The proof that a leaf is in the tree of a size (RFC 6962 §2.1.1), from the leaf's sibling up.
 *
 * @throws AuditError `TREE_INVALID` unless `index` is below `size`.
 */
export async function inclusionProof(nodes: NodeReader, index: number, size: number): Promise<readonly Uint8Array[]> {
  checkTreeNumber('an index', index);
  checkTreeNumber('a tree size', size, index + 1);
  return carryOut(pathPlan({ level: 0, index }, size), nodes);
}

/**
 * The proof that the tree of one size begins with that of another (RFC 6962 §2.1.2); no hashes when the older is empty
 * or they are the same size.
 *
 * @throws AuditError `TREE_INVALID` when `older` is larger than `newer`.
 */
export async function consistencyProof(
  nodes: NodeReader,
  older: number,
  newer: number,
): Promise<readonly Uint8Array[]> {
  checkTreeNumber('a tree size', older);
  checkTreeNumber('a tree size', newer, older);
  if (older === 0 || older === newer) return [];
  const start = peaks(older).at(-1)!;
  // RFC 6962 §2.1.2: a subtree that is the whole older tree is known to the verifier and left out.
  const known = start.index === 0;
  return carryOut([...(known ? [] : [[start]]), ...pathPlan(start, newer)], nodes);
}

/** Whether the proof leads from the leaf at an index to the root of a size (RFC 9162 §2.1.3.2). Never throws. */
export function verifyInclusion(
  leafHash: Uint8Array,
  index: number,
  size: number,
  proof: readonly Uint8Array[],
  root: Uint8Array,
): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return false;
  if (![leafHash, ...proof].every((hash) => hash.length === 32)) return false;
  let fn = index;
  let sn = size - 1;
  let hash = leafHash;
  for (const sibling of proof) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      hash = nodeHash(sibling, hash);
      for (; fn % 2 === 0 && fn !== 0; fn = half(fn), sn = half(sn));
    } else {
      hash = nodeHash(hash, sibling);
    }
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equal(hash, root);
}

/** Whether the proof leads from the root of an older tree to that of a newer (RFC 9162 §2.1.4.2). Never throws. */
export function verifyConsistency(
  older: number,
  newer: number,
  olderRoot: Uint8Array,
  newerRoot: Uint8Array,
  proof: readonly Uint8Array[],
): boolean {
  if (!Number.isSafeInteger(older) || !Number.isSafeInteger(newer) || older < 0 || older > newer) return false;
  if (![olderRoot, newerRoot, ...proof].every((hash) => hash.length === 32)) return false;
  if (older === newer) return proof.length === 0 && equal(olderRoot, newerRoot);
  if (older === 0) return proof.length === 0 && equal(olderRoot, emptyRoot());
  const path = peaks(older).at(-1)!.index === 0 ? [olderRoot, ...proof] : proof;
  let fn = older - 1;
  let sn = newer - 1;
  for (; fn % 2 === 1; fn = half(fn), sn = half(sn));
  const [start, ...rest] = path;
  if (start === undefined) return false;
  let fr = start;
  let sr = start;
  for (const hash of rest) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      fr = nodeHash(hash, fr);
      sr = nodeHash(hash, sr);
      for (; fn % 2 === 0 && fn !== 0; fn = half(fn), sn = half(sn));
    } else {
      sr = nodeHash(sr, hash);
    }
    fn = half(fn);
    sn = half(sn);
  }
  return sn === 0 && equal(fr, olderRoot) && equal(sr, newerRoot);
}
