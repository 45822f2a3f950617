import type { SealingKey } from '@minikms/crypto-core';
import type { NewKeyVersion, Scope } from './ports.ts';

/** The version of a scope that encrypts now, and what this server may still do with it. */
export interface Current {
  readonly scope: Scope;
  readonly id: string;
  readonly version: number;
  /** Its name in the cache of unwrapped versions. */
  readonly versionName: string;
  readonly maxEncryptions: number;
  readonly position: number;
  readonly expires: number;
  leaseSize: number;
  /** Uses leased and not yet made. */
  remaining: number;
  refilling: boolean;
}

/** What was just read, with its key for this turn of the event loop, whatever the caches evict meanwhile. */
export interface Loaded {
  readonly current: Current;
  readonly key: SealingKey;
}

/** A successor made here: nothing of it is leased yet, and whoever needs it reads it first. */
export function nothingLeased({ tenantId, scopeId, id, version, maxEncryptions }: NewKeyVersion): Current {
  return {
    scope: { tenantId, scopeId },
    id,
    version,
    versionName: '',
    maxEncryptions,
    position: 0,
    expires: 0,
    leaseSize: 0,
    remaining: 0,
    refilling: false,
  };
}
