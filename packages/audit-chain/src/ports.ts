/**
 * What an audit log needs of the world. Every implementation runs the contract suites of `@minikms/audit-chain/testing`.
 *
 * Implementations throw a `KmsError` `STORE_UNAVAILABLE` when the store cannot be reached or does not answer in time.
 * Whether the call took effect is unknown then; any other error means that it did not.
 * Numbers of entries and sizes are integers below 2^53: a log's size is the seq of its last entry.
 */
import type { AuditEntry } from './entry.ts';
import type { NodeId } from './merkle.ts';

/** An entry before it has its place in a log. Bounds as in spec/audit-chain.md §2. */
export interface NewEntry {
  readonly tenantId: string;
  /** Microseconds since 1970, an integer. */
  readonly timestampUs: number;
  readonly action: string;
  readonly actorId: string;
  readonly details: string;
  /** 32 bytes or none. */
  readonly requestJwtHash: Uint8Array;
}

/** Where an entry stands. */
export interface Position {
  readonly tenantId: string;
  readonly seq: number;
}

/** The end of a log: seq 0 and 32 zero bytes for one without entries. */
export interface Head {
  readonly seq: number;
  /** `entry_hash` of the last entry. */
  readonly hash: Uint8Array;
  /** From 1; grows when a log had to begin anew after its database was rolled back. */
  readonly epoch: number;
}

/** Entries of one log, hashed and linked: the first follows `after`, each other the one before. */
export interface Batch {
  readonly tenantId: string;
  readonly after: Head;
  /** 1 at least. */
  readonly entries: readonly NewEntry[];
  /** The `entry_hash` of each entry. */
  readonly hashes: readonly Uint8Array[];
}

/** Who or what an opaque id in entries stands for; deletable, unlike the entries (spec/audit-chain.md, erasure). */
export interface Subject {
  /** Base64url without padding of SHA-256("minikms/audit/subject/v1" ‖ LP(salt) ‖ LP(label)): what entries hold. */
  readonly id: string;
  readonly tenantId: string;
  readonly kind: string;
  /** 32 random bytes. */
  readonly salt: Uint8Array;
  readonly label: string;
}

/**
 * What became of a batch: `true` when it was appended; the head as it is when that is another than `after`; `'busy'` when
 * somebody else holds it.
 */
export type Outcome = true | Head | 'busy';

/** Where entries go. Both appends return when what they appended is on disk. */
export interface EntryWriter {
  /**
   * Appends each batch whose log ends with its `after`, whole, and leaves the others; all in one round trip and one
   * transaction. Never waits for a log that somebody else is writing. Stores the subjects whatever becomes of the batches.
   *
   * @param batches of distinct tenants.
   * @returns the outcome of each batch, in their order.
   */
  append(batches: readonly Batch[], subjects: readonly Subject[]): Promise<readonly Outcome[]>;
  /**
   * Appends to one log wherever it ends, first come, first served among all servers, in one round trip. The store itself
   * hashes the entries.
   *
   * @param entries 1 at least, of one tenant.
   * @returns the seq of the first, and the new head.
   */
  appendInTurn(
    entries: readonly NewEntry[],
    subjects: readonly Subject[],
  ): Promise<{ readonly first: number; readonly head: Head }>;
}

/** Which entries of a log are wanted; what is `undefined` or left out does not matter. */
export interface EntryFilter {
  readonly action?: string | undefined;
  readonly actorId?: string | undefined;
  /** Timestamps from this one, in microseconds. */
  readonly fromUs?: number | undefined;
  /** Timestamps before this one. */
  readonly beforeUs?: number | undefined;
  /** Entries before this seq. */
  readonly beforeSeq?: number | undefined;
}

export interface EntryReader {
  /** `undefined` for a tenant without a log. */
  head(tenantId: string): Promise<Head | undefined>;
  /** Up to `limit` (1 to 10,000) entries after a seq, in order. They have whatever the store holds: nothing is checked. */
  entriesAfter(tenantId: string, seq: number, limit: number): Promise<readonly AuditEntry[]>;
  /** Up to `limit` entries newest first, after leaving out `offset`. */
  findEntries(tenantId: string, filter: EntryFilter, limit: number, offset: number): Promise<readonly AuditEntry[]>;
  /** The `entry_hash` of the entries `from` to `to` (seq, both inclusive; 10,000 at most), in order. */
  entryHashes(tenantId: string, from: number, to: number): Promise<readonly Uint8Array[]>;
}

/** A log that grew since its last checkpoint. */
export interface GrownLog {
  readonly tenantId: string;
  readonly head: Head;
}

/** A checkpoint as it is stored: the newest of its log. */
export interface StoredCheckpoint {
  readonly tenantId: string;
  readonly epoch: number;
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** The C2SP checkpoint, with the cosignatures of witnesses that it got. */
  readonly note: string;
}

/** A node of a tree to be kept: levels are multiples of 8, level 0 is left out (it follows from the entries). */
export interface StoredNode extends NodeId {
  readonly hash: Uint8Array;
}

/** Trees over the logs, and the newest checkpoint of each. */
export interface TreeStore {
  /** The nodes `from` to `to` (index, both inclusive; 256 at most) of a level, in order; fewer when they are not stored. */
  nodes(tenantId: string, level: number, from: number, to: number): Promise<readonly Uint8Array[]>;
  /** The newest checkpoint of the newest epoch; `undefined` when there is none. */
  checkpoint(tenantId: string): Promise<StoredCheckpoint | undefined>;
  /**
   * In one transaction: stores nodes, those that are stored already stay as they are, and the checkpoint in place of an
   * older one of its epoch. A checkpoint of the same size and root replaces the note: it has more cosignatures.
   *
   * @param reported `false` for one that was made on demand: `grown` gives its log all the same, so that the next interval
   *   reports it. `true` when left out.
   * @returns false, and nothing stored, when a larger one of this epoch or one of a newer epoch is there, or one of this
   *   size with another root.
   */
  saveCheckpoint(checkpoint: StoredCheckpoint, nodes: readonly StoredNode[], reported?: boolean): Promise<boolean>;
  /**
   * Up to `limit` logs that are larger than the newest checkpoint of their epoch that was reported says, in the order of
   * their tenants' ids as bytes, after `after`.
   */
  grown(after: string, limit: number): Promise<readonly GrownLog[]>;
  /**
   * True for one server among all, at most once each `intervalMs` by the store's clock: who writes the next checkpoints.
   */
  claimInterval(intervalMs: number): Promise<boolean>;
  /**
   * Begins a new epoch of a log, in one transaction with the entry that says so (its tenant is that of the log).
   *
   * @returns the new head; `undefined`, and nothing changed, when the log's epoch is `epoch` or more already.
   */
  openEpoch(epoch: number, entry: NewEntry): Promise<Head | undefined>;
}

/** The deletable table of subjects. */
export interface Subjects {
  find(tenantId: string, id: string): Promise<Subject | undefined>;
  /** Deletes every row of a tenant with this label, or of all tenants when `tenantId` is `undefined`; how many there were. */
  erase(tenantId: string | undefined, label: string): Promise<number>;
}

/** A checkpoint as it is known outside of the store. */
export interface KnownCheckpoint {
  readonly epoch: number;
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/**
 * Where the newest checkpoints are kept outside of the store, so that a store that was put back to a backup is found out:
 * a directory, another machine.
 */
export interface KnownCheckpoints {
  /** The largest of the newest epoch, its signature checked; `undefined` when none is known. */
  highest(tenantId: string): Promise<KnownCheckpoint | undefined>;
  /**
   * Resolves when `highest` gives this one, or a higher, after a restart too: only then is it handed out. Called again
   * with the same note as long as `highest` does not.
   */
  publish(tenantId: string, note: string): Promise<void>;
}

/** All that a server's audit log is kept in. */
export interface AuditStore extends EntryWriter, EntryReader, TreeStore, Subjects {}
