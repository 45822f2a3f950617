import { HierarchyError } from './errors.ts';
import type { Scope } from './ports.ts';

const ID = /^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What {@link checkId} demands, in words fit for an error message. */
export const ID_RULE =
  '1 to 128 characters of A-Z a-z 0-9 . _ : @ / -, the first a letter or digit, without ".." and without "//"';

/**
 * Checks a tenant or scope id. Ids that start with `_` are the server's own, so that the rule leaves them out.
 *
 * @throws HierarchyError `ID_INVALID`, naming `field` and the rule, never echoing the value.
 */
export function checkId(field: string, value: string): void {
  if (!ID.test(value) || value.includes('..') || value.includes('//')) {
    throw new HierarchyError('ID_INVALID', `${field} must be ${ID_RULE}`);
  }
}

/**
 * Checks a key version id and returns it in lower case.
 *
 * @throws HierarchyError `ID_INVALID` when it is not a UUID of 36 characters (RFC 9562 §4).
 */
export function checkKeyVersionId(field: string, value: string): string {
  const id = value.toLowerCase();
  if (!UUID.test(id)) {
    throw new HierarchyError('ID_INVALID', `${field} must be a UUID such as 01234567-89ab-4cde-8f01-23456789abcd`);
  }
  return id;
}

/** One string for a scope; unambiguous, because ids hold no NUL. */
export function scopeName(scope: Scope): string {
  return `${scope.tenantId}\0${scope.scopeId}`;
}
