import { ciphertextInvalid, SealingKey, uuidFromBytes, uuidToBytes } from '@minikms/crypto-core';
import { LRUCache } from 'lru-cache';
import { noKey } from './errors.ts';
import { scopeName } from './ids.ts';
import type { KeyringOptions } from './keyring.ts';
import type { NewKeyVersion, Scope } from './ports.ts';
import { SingleFlight } from './single-flight.ts';
import { unwrapDek } from './wrap.ts';

interface Version {
  readonly key: SealingKey;
  readonly position: number;
  readonly expires: number;
}

/** Unwrapped key versions, a bounded number of them, each for a bounded time; destroyed when they leave. */
export class VersionCache {
  readonly #options: KeyringOptions;
  readonly #versions: LRUCache<string, Version>;
  readonly #loads = new SingleFlight();

  constructor(options: KeyringOptions) {
    this.#options = options;
    this.#versions = new LRUCache({
      max: options.cacheSize,
      // Not at once: a call that was handed the key in this very turn still uses it.
      dispose: (version) => setImmediate(() => version.key.destroy()),
    });
  }

  get size(): number {
    return this.#versions.size;
  }

  /** Whether something read at `position` and good until `expires` may be used without asking the store. */
  isWarm(scope: Scope, entry: { readonly position: number; readonly expires: number }): boolean {
    const { changes, now } = this.#options;
    return changes.fresh() && !changes.changedSince(scope, entry.position) && now() < entry.expires;
  }

  /** The key that {@link put} returned the name of, if it is still held. */
  held(name: string): SealingKey | undefined {
    return this.#versions.get(name)?.key;
  }

  /** The key of a version of this scope: from here, from the shared cache, or from the store. */
  find(scope: Scope, keyVersionId: Uint8Array): SealingKey | Promise<SealingKey> {
    const name = versionName(scope, keyVersionId);
    const version = this.#versions.get(name);
    if (version !== undefined && this.isWarm(scope, version)) return version.key;
    return this.#loads.run(name, () => this.#load(scope, uuidFromBytes(keyVersionId)));
  }

  /** Unwraps and keeps a version whose row was read at `position`. */
  put(row: NewKeyVersion, position: number): { readonly name: string; readonly key: SealingKey } {
    const keyVersionId = uuidToBytes(row.id);
    using dek = unwrapDek(this.#options.root, row);
    const key = SealingKey.from(dek, { keyVersionId, tenantId: row.tenantId, scopeId: row.scopeId });
    const name = versionName(row, keyVersionId);
    this.#versions.set(name, { key, position, expires: this.#options.now() + this.#options.cacheTtlMs });
    return { name, key };
  }

  /** Destroys what is past its time. */
  sweep(): void {
    const now = this.#options.now();
    for (const [name, version] of this.#versions.entries()) if (version.expires <= now) this.#versions.delete(name);
  }

  clear(): void {
    this.#versions.clear();
  }

  async #load(scope: Scope, id: string): Promise<SealingKey> {
    const { store, changes, rows } = this.#options;
    const position = changes.position();
    const cached = changes.fresh() ? await rows?.get(scope, id) : undefined;
    if (cached !== undefined && !changes.changedSince(scope, cached.position)) {
      return this.put(cached.row, cached.position).key;
    }
    const row = await store.findVersion(scope, id);
    if (row === 'none') throw noKey();
    if (row === 'other') throw ciphertextInvalid();
    // First the key: a row that does not open is not passed on.
    const { key } = this.put(row, position);
    // Nobody waits for this: without it the next server asks the store.
    rows?.set(row, position).catch(() => {});
    return key;
  }
}

function versionName(scope: Scope, keyVersionId: Uint8Array): string {
  const id = Buffer.from(keyVersionId.buffer, keyVersionId.byteOffset, 16);
  return `${scopeName(scope)}\0${id.toString('latin1')}`;
}
