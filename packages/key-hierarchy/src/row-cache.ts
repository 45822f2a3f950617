import { createHmac } from 'node:crypto';
import {
  concat,
  domainSeparated,
  equal,
  lp,
  type SecretBytes,
  uint64,
  utf8,
  uuidFromBytes,
  uuidToBytes,
} from '@minikms/crypto-core';
import type { ByteCache, NewKeyVersion, Scope } from './ports.ts';

/** No value lives longer, so that a server forgets what it knew of changes after this. */
export const ROW_CACHE_TTL_MS = 300_000;

/** What is longer is no row of this code. */
const MAX_VALUE_BYTES = 4096;

/** A cached row with the number of the last change that was known before the row was read. */
export interface CachedRow {
  readonly row: NewKeyVersion;
  readonly position: number;
}

/**
 * Wrapped key versions in a shared, untrusted cache: what the store holds, authenticated with a key that only servers
 * have, so that the cache can lose values but not change, swap or age them (spec/key-hierarchy.md §7).
 */
export class RowCache {
  readonly #cache: ByteCache;
  readonly #macKey: SecretBytes<'row-cache-mac'>;
  readonly #now: () => number;

  /** @param now milliseconds since the Unix epoch. */
  constructor(cache: ByteCache, macKey: SecretBytes<'row-cache-mac'>, now: () => number) {
    this.#cache = cache;
    this.#macKey = macKey;
    this.#now = now;
  }

  /** The row and its change number; `undefined` for what is missing, expired, malformed or not authentic. Never throws. */
  async get(scope: Scope, id: string): Promise<CachedRow | undefined> {
    try {
      return await this.#get(scope, id);
    } catch {
      return undefined;
    }
  }

  async #get(scope: Scope, id: string): Promise<CachedRow | undefined> {
    const name = cacheName(scope, id);
    const value: unknown = await this.#cache.get(name);
    if (!(value instanceof Uint8Array) || value.length < 32 || value.length > MAX_VALUE_BYTES) return undefined;
    const body = value.subarray(32);
    if (!equal(value.subarray(0, 32), this.#mac(name, body))) return undefined;
    const [expires, position, tenantId, scopeId, idBytes, version, max, generation, rootKeyId, saltId, wrappedDek] =
      fields(body);
    if (wrappedDek === undefined || number(expires) <= this.#now()) return undefined;
    const row = {
      tenantId: text(tenantId),
      scopeId: text(scopeId),
      id: uuidFromBytes(idBytes as Uint8Array),
      version: number(version),
      maxEncryptions: number(max),
      tenantKeyGeneration: number(generation),
      rootKeyId: rootKeyId as Uint8Array,
      saltId: saltId as Uint8Array,
      wrappedDek,
    };
    if (row.tenantId !== scope.tenantId || row.scopeId !== scope.scopeId || row.id !== id) return undefined;
    return { row, position: number(position) };
  }

  /** Stores a row for at most five minutes. */
  async set(row: NewKeyVersion, position: number): Promise<void> {
    const name = cacheName(row, row.id);
    const body = concat(
      lp(uint64(Math.trunc(this.#now()) + ROW_CACHE_TTL_MS)),
      lp(uint64(position)),
      lp(row.tenantId),
      lp(row.scopeId),
      lp(uuidToBytes(row.id)),
      lp(uint64(row.version)),
      lp(uint64(row.maxEncryptions)),
      lp(uint64(row.tenantKeyGeneration)),
      lp(row.rootKeyId),
      lp(row.saltId),
      lp(row.wrappedDek),
    );
    await this.#cache.set(name, concat(this.#mac(name, body), body), ROW_CACHE_TTL_MS);
  }

  #mac(name: string, body: Uint8Array): Uint8Array {
    const message = domainSeparated('minikms/row-cache/v1', utf8(name), body);
    return this.#macKey.expose((key) => createHmac('sha256', key).update(message).digest());
  }
}

function cacheName(scope: Scope, id: string): string {
  return `minikms:key-version:${encodeURIComponent(scope.tenantId)}:${encodeURIComponent(scope.scopeId)}:${id}`;
}

// Only ever given bytes that this code wrote: they are authenticated before.
function fields(body: Uint8Array): Uint8Array[] {
  const view = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const found: Uint8Array[] = [];
  for (let at = 0; at < view.length;) {
    const end = at + 8 + Number(view.readBigUInt64BE(at));
    found.push(view.subarray(at + 8, end));
    at = end;
  }
  return found;
}

const text = (field: Uint8Array | undefined): string => Buffer.from(field ?? []).toString('utf8');
const number = (field: Uint8Array | undefined): number =>
  field === undefined ? 0 : Number(Buffer.from(field).readBigUInt64BE());
