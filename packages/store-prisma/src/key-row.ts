import type { KeyStatus, KeyVersionRow } from '@minikms/key-hierarchy';

/** A row of `key_versions` under the names of {@link columns}: bigint comes as text, bytea as a Buffer. */
export interface StoredKeyVersion {
  readonly tenantId: string;
  readonly scopeId: string;
  readonly version: number;
  readonly id: string;
  readonly wrappedDek: Uint8Array;
  readonly rootKeyId: Uint8Array;
  readonly saltId: Uint8Array;
  readonly tenantKeyGeneration: number;
  readonly status: KeyStatus;
  readonly maxEncryptions: string;
  readonly leasedUses: string;
  readonly recordedUses: string;
  readonly createdAt: Date;
}

/** The columns of `key_versions` under their names in {@link StoredKeyVersion}, each qualified with `table`. */
export function columns(table: string): string {
  return [
    'tenant_id AS "tenantId"',
    'scope_id AS "scopeId"',
    'version',
    'id',
    'wrapped_dek AS "wrappedDek"',
    'root_key_id AS "rootKeyId"',
    'salt_id AS "saltId"',
    'tenant_key_generation AS "tenantKeyGeneration"',
    'status',
    'max_encryptions AS "maxEncryptions"',
    'leased_uses AS "leasedUses"',
    'recorded_uses AS "recordedUses"',
    'created_at AS "createdAt"',
  ]
    .map((column) => `${table}.${column}`)
    .join(', ');
}

/** The row as the port has it. Copies the bytes: the driver's buffers are slices of larger ones. */
export function keyVersionRow(stored: StoredKeyVersion): KeyVersionRow {
  return {
    tenantId: stored.tenantId,
    scopeId: stored.scopeId,
    id: stored.id,
    version: stored.version,
    wrappedDek: new Uint8Array(stored.wrappedDek),
    rootKeyId: new Uint8Array(stored.rootKeyId),
    saltId: new Uint8Array(stored.saltId),
    tenantKeyGeneration: stored.tenantKeyGeneration,
    maxEncryptions: Number(stored.maxEncryptions),
    status: stored.status,
    leasedUses: Number(stored.leasedUses),
    recordedUses: Number(stored.recordedUses),
    createdAt: stored.createdAt,
  };
}
