import { KmsError } from '@minikms/crypto-core';
import { scopeName } from '../ids.ts';
import type {
  ByteCache,
  ChangeClock,
  KeyStore,
  KeyVersionRow,
  Lease,
  NewKeyVersion,
  RootCheck,
  RootKeyRegistry,
  Scope,
  VersionUses,
} from '../ports.ts';

/** A key store, root key registry and change clock in memory, for tests; every call takes a turn of the event loop. */
export class MemoryStore implements KeyStore, RootKeyRegistry, ChangeClock {
  /** Calls made, by method name. */
  readonly calls: string[] = [];
  /** While true every call throws `STORE_UNAVAILABLE`. */
  down = false;
  /** What {@link fresh} answers. */
  isFresh = true;
  readonly #scopes = new Map<string, KeyVersionRow[]>();
  readonly #changed = new Map<string, number>();
  #position = 0;
  #recorded: RootCheck | undefined;

  async lease(scope: Scope, wanted: number): Promise<Lease | undefined> {
    await this.#turn('lease');
    const row = this.#current(scope);
    if (row === undefined) return undefined;
    const granted = Math.min(wanted, row.maxEncryptions - row.leasedUses);
    const leasedUses = row.leasedUses + granted;
    const due = granted > 0 && leasedUses >= Math.ceil(row.maxEncryptions * 0.9);
    return { row: this.#put({ ...row, leasedUses, status: due ? 'rotate_pending' : row.status }), granted };
  }

  async createFirst(first: NewKeyVersion, wanted: number): Promise<Lease | undefined> {
    await this.#turn('createFirst');
    if (this.#scopes.has(scopeName(first))) return undefined;
    const granted = Math.min(wanted, first.maxEncryptions);
    const due = granted >= Math.ceil(first.maxEncryptions * 0.9);
    const status = due ? 'rotate_pending' : 'active';
    const row = { ...first, status, leasedUses: granted, recordedUses: 0, createdAt: new Date() } as const;
    this.#scopes.set(scopeName(first), [row]);
    return { row, granted };
  }

  async succeed(currentId: string, successor: NewKeyVersion): Promise<boolean> {
    await this.#turn('succeed');
    const row = this.#current(successor);
    if (row?.id !== currentId) return false;
    if (successor.version !== row.version + 1) throw new Error('not the next version');
    this.#put({ ...row, status: 'retired' });
    const added = { ...successor, status: 'active', leasedUses: 0, recordedUses: 0, createdAt: new Date() } as const;
    this.#versions(successor).push(added);
    this.#changed.set(scopeName(successor), ++this.#position);
    return true;
  }

  async findCurrent(scope: Scope): Promise<KeyVersionRow | undefined> {
    await this.#turn('findCurrent');
    return this.#current(scope);
  }

  async findVersion(scope: Scope, id: string): Promise<KeyVersionRow | 'other' | 'none'> {
    await this.#turn('findVersion');
    const versions = this.#versions(scope);
    return versions.find((row) => row.id === id) ?? (versions.length === 0 ? 'none' : 'other');
  }

  async recordUses(uses: readonly VersionUses[]): Promise<void> {
    await this.#turn('recordUses');
    for (const { id, uses: added, ...scope } of uses) {
      const row = this.#versions(scope).find((version) => version.id === id);
      if (row !== undefined) this.#put({ ...row, recordedUses: row.recordedUses + added });
    }
  }

  async load(): Promise<{ recorded: RootCheck | undefined; hasWrappedRows: boolean }> {
    await this.#turn('load');
    return { recorded: this.#recorded, hasWrappedRows: this.#scopes.size > 0 };
  }

  async record(check: RootCheck): Promise<void> {
    await this.#turn('record');
    this.#recorded ??= check;
  }

  position(): number {
    return this.#position;
  }

  fresh(): boolean {
    return this.isFresh;
  }

  changedSince(scope: Scope, position: number): boolean {
    return (this.#changed.get(scopeName(scope)) ?? 0) > position;
  }

  /** Forgets the root key's check values, as a restore without that table would. */
  forgetRoot(): void {
    this.#recorded = undefined;
  }

  /** Puts a row in place of the one with the same id, as somebody with access to the database could. */
  tamper(row: KeyVersionRow): void {
    this.#put(row);
  }

  async #turn(name: string): Promise<void> {
    this.calls.push(name);
    await new Promise((resolve) => setImmediate(resolve));
    if (this.down) throw new KmsError('STORE_UNAVAILABLE', 'the store is down');
  }

  #versions(scope: Scope): KeyVersionRow[] {
    return this.#scopes.get(scopeName(scope)) ?? [];
  }

  #current(scope: Scope): KeyVersionRow | undefined {
    return this.#versions(scope).find((row) => row.status !== 'retired');
  }

  #put(row: KeyVersionRow): KeyVersionRow {
    const versions = this.#versions(row);
    versions[versions.findIndex((version) => version.id === row.id)] = row;
    return row;
  }
}

/** A byte cache in memory, for tests. */
export class MemoryByteCache implements ByteCache {
  readonly values: Map<string, { value: Uint8Array; expires: number }> = new Map();

  async get(name: string): Promise<Uint8Array | undefined> {
    const found = this.values.get(name);
    return found !== undefined && found.expires > Date.now() ? found.value : undefined;
  }

  async set(name: string, value: Uint8Array, ttlMs: number): Promise<void> {
    this.values.set(name, { value, expires: Date.now() + ttlMs });
  }

  async delete(name: string): Promise<void> {
    this.values.delete(name);
  }
}
