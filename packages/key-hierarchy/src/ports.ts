/**
 * What the key hierarchy needs of the world. Every implementation of {@link KeyStore}, {@link RootKeyRegistry},
 * {@link ServerKeyStore} and {@link ByteCache} runs the contract suites of `@minikms/key-hierarchy/testing`.
 *
 * Implementations throw `STORE_UNAVAILABLE` (a `KmsError`) when the store cannot be reached or does not answer in time.
 */

/** A scope of a tenant: the unit that has data encryption keys of its own. */
export interface Scope {
  readonly tenantId: string;
  readonly scopeId: string;
}

/**
 * - `active`: encrypts and decrypts.
 * - `rotate_pending`: as `active`, but 90 % of the budget is leased and a successor is due.
 * - `retired`: decrypts only.
 *
 * At most one version of a scope is `active` or `rotate_pending`: the current one.
 */
export type KeyStatus = 'active' | 'rotate_pending' | 'retired';

/** A key version as it is made: its key wrapped, everything else in clear. */
export interface NewKeyVersion extends Scope {
  /** UUID in lower-case text; 122 random bits. */
  readonly id: string;
  /** 1 for the first of a scope, one more for each later one. */
  readonly version: number;
  /** nonce (12) ‖ ciphertext (32) ‖ tag (16). */
  readonly wrappedDek: Uint8Array;
  /** 16 bytes: the root key under which the DEK is wrapped. */
  readonly rootKeyId: Uint8Array;
  /** 16 bytes: the HKDF salt of the derivation. */
  readonly saltId: Uint8Array;
  /** 0 = tenant master key as the Go service derives it. */
  readonly tenantKeyGeneration: number;
  /** Encryptions that this version may ever make; 1 to 2^32. */
  readonly maxEncryptions: number;
}

/** A key version as it is stored. */
export interface KeyVersionRow extends NewKeyVersion {
  readonly status: KeyStatus;
  /** Encryptions handed out in leases so far, used or not; at most `maxEncryptions`. */
  readonly leasedUses: number;
  /** Encryptions made, as far as servers have recorded them. */
  readonly recordedUses: number;
  readonly createdAt: Date;
}

/** The current version of a scope, and how many encryptions with it the caller may now make. */
export interface Lease {
  readonly row: KeyVersionRow;
  /** 0 to what was wanted; less than wanted only when the budget ends. */
  readonly granted: number;
}

/** The audit entry of a change: written in the change's transaction, or not at all. Bounds: spec/audit-chain.md §2. */
export interface ChangeEntry {
  /** The log that it goes to: a tenant's, or the server's own `_system`. 1 to 128 bytes. */
  readonly tenantId: string;
  /** Microseconds since 1970. */
  readonly timestampUs: number;
  /** 1 to 128 bytes. */
  readonly action: string;
  /** Opaque, 0 to 256 bytes. */
  readonly actorId: string;
  /** 0 to 16,384 bytes. */
  readonly details: string;
  /** 32 bytes, or none. */
  readonly requestJwtHash: Uint8Array;
}

/** Where an entry was written. */
export interface Written {
  readonly tenantId: string;
  /** 1 for the first entry of that log. */
  readonly seq: number;
}

/** A first version that was stored, and how many encryptions with it the caller may now make. */
export interface Creation extends Lease {
  /** `undefined` without an entry, and when it was written but an outage hides where. */
  readonly written: Written | undefined;
}

/** What became of a succession. */
export interface Succession {
  /** False when nothing was stored: the version was no longer current. */
  readonly replaced: boolean;
  /** As in {@link Creation}; `undefined` also when nothing was stored. */
  readonly written: Written | undefined;
}

/**
 * Changes may come with an audit entry. It is written in the change's transaction exactly when the change happens, and
 * a change whose entry cannot be written does not happen. One outside its bounds is refused (`CHANGE_ENTRY_INVALID`).
 */
export interface KeyStore {
  /**
   * Leases up to `wanted` (0 to 2^20) uses of the scope's current version, in one round trip, and makes it
   * `rotate_pending` once 90 % of its budget is leased. `undefined` when the scope has no key version.
   */
  lease(scope: Scope, wanted: number): Promise<Lease | undefined>;
  /**
   * Stores a scope's first version with `wanted` uses leased (at most its budget), in one round trip. `undefined`, and
   * nothing stored, when the scope already has a version: one winner under a race.
   */
  createFirst(first: NewKeyVersion, wanted: number, entry?: ChangeEntry): Promise<Creation | undefined>;
  /**
   * In one transaction: retires the version `currentId`, stores `successor` as active and writes the change log. Not
   * replaced, and nothing stored, when `currentId` is no longer the current version of that scope.
   */
  succeed(currentId: string, successor: NewKeyVersion, entry?: ChangeEntry): Promise<Succession>;
  /** The current version; `undefined` when the scope has none. */
  findCurrent(scope: Scope): Promise<KeyVersionRow | undefined>;
  /**
   * The version with this id if it belongs to this tenant and scope; `'other'` when the scope has key versions but not
   * this one; `'none'` when it has none at all.
   */
  findVersion(scope: Scope, id: string): Promise<KeyVersionRow | 'other' | 'none'>;
  /** Adds encryptions made to each version's count, in one round trip for up to 1,000 of them. */
  recordUses(uses: readonly VersionUses[]): Promise<void>;
}

/** How many encryptions were made with a version since they were last recorded. */
export interface VersionUses extends Scope {
  readonly id: string;
  readonly uses: number;
}

/** What identifies a root key and an HKDF salt without telling anything about them; 16 bytes each. */
export interface RootCheck {
  readonly rootKeyId: Uint8Array;
  readonly saltId: Uint8Array;
}

export interface RootKeyRegistry {
  /** What was recorded at the first start, and whether any wrapped row exists: a key version or a server key. */
  load(): Promise<{ readonly recorded: RootCheck | undefined; readonly hasWrappedRows: boolean }>;
  /** Records the check values unless some are recorded already; one winner under a race. */
  record(check: RootCheck): Promise<void>;
}

/** A key of the server itself: random, and stored wrapped (spec/key-hierarchy.md §8). */
export interface ServerKeyRow {
  readonly purpose: string;
  /** What the key is called where its public half is used, such as the name of an audit log. */
  readonly name: string;
  readonly publicKey: Uint8Array;
  /** nonce (12) ‖ ciphertext (32) ‖ tag (16). */
  readonly wrappedKey: Uint8Array;
  /** 16 bytes: the root key under which the key is wrapped. */
  readonly rootKeyId: Uint8Array;
  /** 16 bytes: the HKDF salt of the installation. */
  readonly saltId: Uint8Array;
}

export interface ServerKeyStore {
  /** The key for a purpose; `undefined` when there is none. */
  load(purpose: string): Promise<ServerKeyRow | undefined>;
  /** Stores a key unless its purpose has one already, and returns the one that is stored: one winner under a race. */
  create(row: ServerKeyRow): Promise<ServerKeyRow>;
}

/**
 * What is known of changes made elsewhere. Numbers grow by one with each change that commits; rows read after number n
 * was seen contain every change up to n.
 */
export interface ChangeClock {
  /** The number of the last change applied here. */
  position(): number;
  /** False when changes may have been missed (no successful poll for a second): then nothing cached may be used. */
  fresh(): boolean;
  /** True when the scope changed after `position`, or when that is no longer known. */
  changedSince(scope: Scope, position: number): boolean;
}

/**
 * A cache shared by servers. It is a hint and untrusted: values are authenticated by the caller. It never throws and
 * answers within 50 ms: a failure is a miss.
 */
export interface ByteCache {
  get(name: string): Promise<Uint8Array | undefined>;
  /** `ttlMs` is 1 to 300,000. */
  set(name: string, value: Uint8Array, ttlMs: number): Promise<void>;
  delete(name: string): Promise<void>;
}
