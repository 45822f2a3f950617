import { expect, test } from 'vitest';
import * as keyHierarchy from '../src/index.ts';
import * as testing from '../src/testing.ts';

test('the package exports these names and no others', () => {
  expect(Object.keys(keyHierarchy).sort()).toEqual([
    'DEFAULT_HKDF_SALT',
    'DEFAULT_MAX_ENCRYPTIONS',
    'HierarchyError',
    'ID_RULE',
    'Keyring',
    'LARGEST_MAX_ENCRYPTIONS',
    'RowCache',
    'checkChangeEntry',
    'checkId',
    'checkKeyVersionId',
    'openRoot',
    'openServerKey',
    'serverKey',
    'verifyRoot',
  ]);
});

test('its testing export has these names and no others', () => {
  expect(Object.keys(testing).sort()).toEqual([
    'MemoryByteCache',
    'MemoryStore',
    'byteCacheContract',
    'changeEntryContract',
    'keyStoreContract',
    'serverKeyStoreContract',
  ]);
});
