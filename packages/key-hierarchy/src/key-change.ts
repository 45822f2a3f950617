import type { Root } from './derive.ts';
import { noKey } from './errors.ts';
import type { ChangeEntry, KeyStore, KeyVersionRow, Lease, NewKeyVersion, Scope, Written } from './ports.ts';
import { newKeyVersion } from './wrap.ts';

/** A change of a scope's keys that is about to be made. */
export interface KeyChange extends Scope {
  readonly kind: 'create' | 'rotate';
  /** Nobody asked for it by name: a scope's first encryption, or a budget that is nearly used, brought it about. */
  readonly automatic: boolean;
  /** Of the version that is made. */
  readonly keyVersionId: string;
  readonly version: number;
  /** Of the version that is replaced; `undefined` for `create`. */
  readonly oldKeyVersionId: string | undefined;
}

/** Who or what makes a change, as it is handed to `changeEntry`. */
export interface Origin {
  readonly automatic: boolean;
  readonly cause: unknown;
}

/** What changes are made with. */
export interface KeyMaking {
  readonly root: Root;
  readonly store: KeyStore;
  /** Budget of key versions made from now on; 1 to 2^32. */
  readonly maxEncryptions: number;
  /**
   * The audit entry that a change is written with, in one transaction; without it changes leave none. `cause` is what was
   * handed to `encryptor`, `create` or `rotate`, and `undefined` for a rotation that nobody asked for. May be called for
   * changes that then do not happen, because others came first. What it throws fails the change.
   */
  readonly changeEntry?: ((change: KeyChange, cause: unknown) => ChangeEntry) | undefined;
}

/** A successor that was made. */
export interface Rotation extends NewKeyVersion {
  /** Where its audit entry was written; `undefined` without one, and when an outage hides where. */
  readonly written: Written | undefined;
}

/** Leases of the current version; makes the first one when the scope has none. `written` tells where, if it did. */
export async function leaseOrCreate(
  making: KeyMaking,
  scope: Scope,
  wanted: number,
  origin: Origin,
): Promise<Lease & { readonly written?: Written | undefined }> {
  const lease =
    (await making.store.lease(scope, wanted)) ??
    (await createFirst(making, scope, wanted, origin)) ??
    // Somebody else came first.
    (await making.store.lease(scope, wanted));
  if (lease === undefined) throw noKey();
  return lease;
}

function createFirst(
  making: KeyMaking,
  scope: Scope,
  wanted: number,
  origin: Origin,
): ReturnType<KeyStore['createFirst']> {
  const first = newKeyVersion(making.root, scope, 1, making.maxEncryptions);
  return making.store.createFirst(first, wanted, entryOf(making, 'create', first, undefined, origin));
}

/** Makes the successor of a version; `undefined`, and nothing made, when that is no longer current. */
export async function succeed(
  making: KeyMaking,
  current: KeyVersionRow,
  origin: Origin,
): Promise<Rotation | undefined> {
  const successor = newKeyVersion(making.root, current, current.version + 1, making.maxEncryptions);
  const entry = entryOf(making, 'rotate', successor, current.id, origin);
  const { replaced, written } = await making.store.succeed(current.id, successor, entry);
  return replaced ? { ...successor, written } : undefined;
}

function entryOf(
  { changeEntry }: KeyMaking,
  kind: KeyChange['kind'],
  { tenantId, scopeId, id, version }: NewKeyVersion,
  oldKeyVersionId: string | undefined,
  { automatic, cause }: Origin,
): ChangeEntry | undefined {
  return changeEntry?.({ kind, automatic, tenantId, scopeId, keyVersionId: id, version, oldKeyVersionId }, cause);
}
