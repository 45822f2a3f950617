import { randomBytes, randomUUID } from 'node:crypto';
import type { NewKeyVersion, Scope } from '../ports.ts';

/** A scope that no other test uses. */
export function newScope(): Scope {
  return { tenantId: `tenant-${randomUUID()}`, scopeId: `scope-${randomUUID()}` };
}

/** A version of a scope, with random bytes where its key would be. */
export function newVersion(scope: Scope, version: number, maxEncryptions = 1_000_000): NewKeyVersion {
  return {
    tenantId: scope.tenantId,
    scopeId: scope.scopeId,
    id: randomUUID(),
    version,
    wrappedDek: randomBytes(60),
    rootKeyId: randomBytes(16),
    saltId: randomBytes(16),
    tenantKeyGeneration: 0,
    maxEncryptions,
  };
}
