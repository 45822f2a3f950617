import { KmsError } from '@minikms/crypto-core';
import { checkChangeEntry } from '../change-entry.ts';
import { scopeName } from '../ids.ts';
import type {
  ChangeClock,
  ChangeEntry,
  Creation,
  KeyStore,
  KeyVersionRow,
  Lease,
  NewKeyVersion,
  RootCheck,
  RootKeyRegistry,
  Scope,
  ServerKeyRow,
  ServerKeyStore,
  Succession,
  VersionUses,
  Written,
} from '../ports.ts';

/**
 * A key store, root key registry, change clock and store of server keys in memory, for tests; every call takes a turn of
 * the event loop.
 */
export class MemoryStore implements KeyStore, RootKeyRegistry, ChangeClock {
  /** Calls made, by method name. */
  readonly calls: string[] = [];
  /** While true every call throws `STORE_UNAVAILABLE`. */
  down = false;
  /** What {@link fresh} answers. */
  isFresh = true;
  /** The audit entries of changes, and where they were written, in their order. */
  readonly entries: (ChangeEntry & Written)[] = [];
  /** What {@link serverKeys} holds, by purpose. */
  readonly serverKeyRows: Map<string, ServerKeyRow> = new Map();
  readonly serverKeys: ServerKeyStore = {
    load: async (purpose) => {
      await this.#turn('serverKeys.load');
      return this.serverKeyRows.get(purpose);
    },
    create: async (row) => {
      await this.#turn('serverKeys.create');
      const stored = this.serverKeyRows.get(row.purpose) ?? row;
      this.serverKeyRows.set(row.purpose, stored);
      return stored;
    },
  };
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

  async createFirst(first: NewKeyVersion, wanted: number, entry?: ChangeEntry): Promise<Creation | undefined> {
    await this.#turn('createFirst');
    if (entry !== undefined) checkChangeEntry(entry);
    if (this.#scopes.has(scopeName(first))) return undefined;
    const granted = Math.min(wanted, first.maxEncryptions);
    const due = granted >= Math.ceil(first.maxEncryptions * 0.9);
    const status = due ? 'rotate_pending' : 'active';
    const row = { ...first, status, leasedUses: granted, recordedUses: 0, createdAt: new Date() } as const;
    this.#scopes.set(scopeName(first), [row]);
    return { row, granted, written: this.#write(entry) };
  }

  async succeed(currentId: string, successor: NewKeyVersion, entry?: ChangeEntry): Promise<Succession> {
    await this.#turn('succeed');
    if (entry !== undefined) checkChangeEntry(entry);
    const row = this.#current(successor);
    if (row?.id !== currentId) return { replaced: false, written: undefined };
    if (successor.version !== row.version + 1) throw new Error('not the next version');
    this.#put({ ...row, status: 'retired' });
    const added = { ...successor, status: 'active', leasedUses: 0, recordedUses: 0, createdAt: new Date() } as const;
    this.#versions(successor).push(added);
    this.#changed.set(scopeName(successor), ++this.#position);
    return { replaced: true, written: this.#write(entry) };
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
    return { recorded: this.#recorded, hasWrappedRows: this.#scopes.size + this.serverKeyRows.size > 0 };
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

  #write(entry: ChangeEntry | undefined): Written | undefined {
    if (entry === undefined) return undefined;
    const seq = 1 + this.entries.filter(({ tenantId }) => tenantId === entry.tenantId).length;
    this.entries.push({ ...entry, seq });
    return { tenantId: entry.tenantId, seq };
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
