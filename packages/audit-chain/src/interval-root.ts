import { hash } from 'node:crypto';
import { concat, domainSeparated, uint64 } from '@minikms/crypto-core';
import { TreeFrontier } from './merkle.ts';
import { base64 } from './note.ts';
import type { StoredCheckpoint } from './ports.ts';

/** The log of the installation itself, which has an entry for each interval. */
export const SYSTEM_TENANT = '_system';

const DOMAIN = 'minikms/audit/interval/v1';
const LEAF = Uint8Array.of(0);

type Leaf = Omit<StoredCheckpoint, 'note'>;

/**
 * What an interval's entry says: the root of a tree over the checkpoints of all logs that grew (spec/audit-chain.md §9).
 * They are added in the order of their tenants' ids as bytes.
 */
export class IntervalRoot {
  readonly #tree = new TreeFrontier();

  add({ tenantId, epoch, size, root }: Leaf): void {
    this.#tree.append(intervalLeaf({ tenantId, epoch, size, root }));
  }

  get count(): number {
    return this.#tree.size;
  }

  root(): Uint8Array {
    return this.#tree.root();
  }

  /**
   * The details of the entry.
   *
   * @param failed logs that grew and could not be signed for.
   */
  details(failed: number): string {
    return JSON.stringify({ failed, logs: this.count, root: base64(this.root()) });
  }
}

/** The leaf of a checkpoint in the tree of an interval, with which its inclusion is proven as in any RFC 6962 tree. */
export function intervalLeaf({ tenantId, epoch, size, root }: Leaf): Uint8Array {
  // RFC 6962 §2.1: a leaf is told from a node by its first byte.
  const input = concat(LEAF, domainSeparated(DOMAIN, tenantId, uint64(epoch), uint64(size), root));
  return hash('sha256', input, 'buffer');
}
