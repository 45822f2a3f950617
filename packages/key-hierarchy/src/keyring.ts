import type { SealingKey } from '@minikms/crypto-core';
import { LRUCache } from 'lru-cache';
import { leaseSize, UseCounter } from './budget.ts';
import { type Current, type Loaded, nothingLeased } from './current.ts';
import { HierarchyError, noKey } from './errors.ts';
import { scopeName } from './ids.ts';
import { type KeyMaking, leaseOrCreate, type Origin, type Rotation, succeed } from './key-change.ts';
import type { ChangeClock, KeyStatus, KeyVersionRow, Scope, Written } from './ports.ts';
import type { RowCache } from './row-cache.ts';
import { SingleFlight } from './single-flight.ts';
import { VersionCache } from './version-cache.ts';

export interface KeyringOptions extends KeyMaking {
  readonly changes: ChangeClock;
  /** Second-level cache of wrapped rows. */
  readonly rows?: RowCache | undefined;
  /** Unwrapped key versions held in memory at most. */
  readonly cacheSize: number;
  /** How long, in milliseconds, an unwrapped key version is used before its row is read again. */
  readonly cacheTtlMs: number;
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** Told of rotations that nobody asked for, and of those that failed and will be tried again. */
  readonly onAutoRotation?: ((event: AutoRotation) => void) | undefined;
}

export interface AutoRotation extends Scope {
  readonly oldKeyVersionId: string;
  /** Why it failed; `undefined` when the successor was made. */
  readonly error: unknown;
}

/** A key to encrypt with, to be used in the same turn of the event loop, and how many times. */
export interface Encryptor {
  readonly keyVersionId: string;
  readonly key: SealingKey;
  /** 1 to what was wanted. */
  readonly granted: number;
}

/** What is known of a scope's current version. */
export interface KeyInfo {
  readonly keyVersionId: string;
  readonly version: number;
  readonly status: KeyStatus;
  /** Encryptions made: exact for this server, at most a second behind for others. */
  readonly encryptions: number;
  readonly maxEncryptions: number;
}

const BUDGET: Origin = { automatic: true, cause: undefined };

/**
 * The data encryption keys of all tenants, unwrapped as needed and kept in a bounded cache. A warm key costs no round
 * trip. Failures of the store come through as they are (`STORE_UNAVAILABLE`).
 *
 * Whoever makes one runs {@link recordUses} about once a second, {@link sweep} now and then, and {@link close} at the end.
 */
export class Keyring {
  readonly #options: KeyringOptions;
  readonly #uses: UseCounter;
  readonly #versions: VersionCache;
  readonly #currents: LRUCache<string, Current>;
  readonly #loads = new SingleFlight();
  readonly #rotations = new SingleFlight();

  constructor(options: KeyringOptions) {
    this.#options = options;
    this.#uses = new UseCounter(options.store);
    this.#versions = new VersionCache(options);
    this.#currents = new LRUCache({ max: options.cacheSize });
  }

  /**
   * A key to encrypt with for this scope, which gets its first key version if it has none. Synchronous when warm.
   *
   * @param wanted 1 or more; call again for what was not granted.
   * @param cause handed to `changeEntry` if this call makes the first version; of several at once, the first call's.
   */
  encryptor(scope: Scope, wanted: number, cause?: unknown): Encryptor | Promise<Encryptor> {
    // A negative number would give uses back to the budget.
    if (!Number.isSafeInteger(wanted) || wanted < 1) throw new RangeError('wanted is at least 1');
    const name = scopeName(scope);
    const current = this.#currents.get(name);
    if (current !== undefined && this.#versions.isWarm(scope, current)) {
      const key = this.#versions.held(current.versionName);
      if (key !== undefined && current.remaining > 0) return this.#take(name, { current, key }, wanted);
    }
    return this.#loadAndTake(scope, name, wanted, cause);
  }

  /**
   * The key of a key version of this scope, to be used in the same turn of the event loop. Synchronous when warm.
   *
   * @param keyVersionId 16 bytes.
   * @throws HierarchyError `KEY_NOT_FOUND` when the tenant has no such scope; CryptoError `CIPHERTEXT_INVALID` when the
   *   scope has no such version: nothing that exists can have made the ciphertext.
   */
  decryptor(scope: Scope, keyVersionId: Uint8Array): SealingKey | Promise<SealingKey> {
    return this.#versions.find(scope, keyVersionId);
  }

  /**
   * Makes the scope's first key version; for a scope that has one, returns the current.
   *
   * @param cause handed to `changeEntry`.
   * @returns `written`: where the audit entry was written; `undefined` also when the key existed and nothing was changed.
   */
  async create(
    scope: Scope,
    cause?: unknown,
  ): Promise<{ readonly keyVersionId: string; readonly version: number; readonly written: Written | undefined }> {
    const { row, written } = await leaseOrCreate(this.#options, scope, 0, { automatic: false, cause });
    return { keyVersionId: row.id, version: row.version, written };
  }

  /**
   * Makes a new current version; the old one only decrypts from now on.
   *
   * @param cause handed to `changeEntry`.
   * @throws HierarchyError `KEY_NOT_FOUND`; `ROTATION_CONFLICT` when ten others came first.
   */
  async rotate(scope: Scope, cause?: unknown): Promise<Rotation> {
    for (let attempt = 0; attempt < 10; attempt++) {
      const current = await this.#options.store.findCurrent(scope);
      if (current === undefined) throw noKey();
      const successor = await this.#succeed(current, { automatic: false, cause });
      if (successor !== undefined) return successor;
    }
    throw new HierarchyError('ROTATION_CONFLICT', 'other rotations of this scope kept coming first: try again');
  }

  /** @throws HierarchyError `KEY_NOT_FOUND` */
  info(scope: Scope): Promise<KeyInfo> {
    return this.#uses.recordThen(async () => {
      const row = await this.#options.store.findCurrent(scope);
      if (row === undefined) throw noKey();
      return {
        keyVersionId: row.id,
        version: row.version,
        status: row.status,
        encryptions: row.recordedUses + this.#uses.pending(row.id),
        maxEncryptions: row.maxEncryptions,
      };
    });
  }

  /** Writes down how often keys were used since the last time. */
  recordUses(): Promise<void> {
    return this.#uses.record();
  }

  /** Destroys keys that are past their time. */
  sweep(): void {
    this.#versions.sweep();
  }

  /** Unwrapped key versions held now. */
  get size(): number {
    return this.#versions.size;
  }

  /** Records uses and destroys every key held. */
  async close(): Promise<void> {
    try {
      await this.#uses.record();
    } finally {
      this.#currents.clear();
      this.#versions.clear();
    }
  }

  #take(name: string, { current, key }: Loaded, wanted: number): Encryptor {
    const granted = Math.min(wanted, current.remaining);
    current.remaining -= granted;
    this.#uses.add(current.scope, current.id, granted);
    if (current.remaining < current.leaseSize / 4 && !current.refilling) void this.#refill(name, current);
    return { keyVersionId: current.id, key, granted };
  }

  async #loadAndTake(scope: Scope, name: string, wanted: number, cause: unknown): Promise<Encryptor> {
    // Ends: each round gives somebody who waits at least one use, makes a successor, hears of one, or throws.
    for (;;) {
      const loaded = await this.#loads.run(name, () => this.#load(scope, name, wanted, cause));
      // The row was just read: good to use, unless it is known to have changed meanwhile or others took all of it.
      if (loaded === undefined || this.#options.changes.changedSince(scope, loaded.current.position)) continue;
      if (loaded.current.remaining > 0) return this.#take(name, loaded, wanted);
    }
  }

  /** Reads the current version and leases what is missing; `undefined` when that has to be done again. */
  async #load(scope: Scope, name: string, wanted: number, cause: unknown): Promise<Loaded | undefined> {
    const { changes, cacheTtlMs, maxEncryptions, now } = this.#options;
    const position = changes.position();
    const old = this.#currents.peek(name);
    const enough = old !== undefined && old.remaining >= wanted;
    const size = enough ? old.leaseSize : leaseSize(old?.leaseSize ?? 0, old?.maxEncryptions ?? maxEncryptions);
    const origin = { automatic: true, cause };
    const lease = await leaseOrCreate(this.#options, scope, enough ? 0 : Math.max(size, wanted), origin);
    const { row } = lease;
    const newest = this.#currents.peek(name);
    // Rotated here while the answer was on its way; the change log may not have told yet.
    if (newest !== undefined && newest !== old && newest.version > row.version) return undefined;
    // What this server had leased of the same version and not used is still its own; of another it is void.
    if (old !== undefined && old.id !== row.id) old.remaining = 0;
    const left = old?.remaining ?? 0;
    if (left + lease.granted === 0) {
      // spec/key-hierarchy.md §6: past its budget a version never encrypts again. When nothing was asked for, it is not
      // the budget that ended: what was left is void, or others took it meanwhile.
      if (!enough) await this.#autoRotate(row);
      return undefined;
    }
    const { name: versionName, key } = this.#versions.put(row, position);
    if (old !== undefined) old.remaining = 0;
    const current = {
      scope: { tenantId: scope.tenantId, scopeId: scope.scopeId },
      id: row.id,
      version: row.version,
      versionName,
      maxEncryptions: row.maxEncryptions,
      position,
      expires: now() + cacheTtlMs,
      leaseSize: size,
      remaining: left + lease.granted,
      refilling: false,
    };
    this.#currents.set(name, current);
    // The caller goes on with what it has leased; should this fail, the next lease tries again.
    if (row.status === 'rotate_pending') this.#autoRotate(row).catch(() => {});
    return { current, key };
  }

  /** Leases more before the last is used up, so that a busy key never waits. */
  async #refill(name: string, current: Current): Promise<void> {
    current.refilling = true;
    try {
      await this.#loads.run(name, () => this.#load(current.scope, name, current.leaseSize, undefined));
    } catch {
      // Nobody waits for this; a call that finds nothing left asks again and gets the error.
    } finally {
      current.refilling = false;
    }
  }

  #autoRotate(row: KeyVersionRow): Promise<void> {
    const event = { tenantId: row.tenantId, scopeId: row.scopeId, oldKeyVersionId: row.id };
    return this.#rotations.run(row.id, async () => {
      try {
        const successor = await this.#succeed(row, BUDGET);
        // Otherwise another server made it, and told.
        if (successor !== undefined) this.#options.onAutoRotation?.({ ...event, error: undefined });
      } catch (error) {
        this.#options.onAutoRotation?.({ ...event, error });
        throw error;
      }
    });
  }

  async #succeed(current: KeyVersionRow, origin: Origin): Promise<Rotation | undefined> {
    const successor = await succeed(this.#options, current, origin);
    this.#replaced(current, successor);
    return successor;
  }

  /** Forgets a version that is no longer current; a load under way must not bring it back. */
  #replaced(current: KeyVersionRow, successor: Rotation | undefined): void {
    const name = scopeName(current);
    const held = this.#currents.peek(name);
    if (successor === undefined) {
      if (held?.id === current.id) this.#currents.delete(name);
      return;
    }
    if (held === undefined ? !this.#loads.has(name) : held.version >= successor.version) return;
    this.#currents.set(name, nothingLeased(successor));
  }
}
