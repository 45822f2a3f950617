import { expect, test } from 'vitest';
import * as cryptoCore from '../src/index.ts';

test('the package exports these names and no others', () => {
  expect(Object.keys(cryptoCore).sort()).toEqual([
    'AeadKey',
    'CryptoError',
    'KmsError',
    'SEALED_OVERHEAD',
    'SEALED_VERSION',
    'SealingKey',
    'SecretBytes',
    'aeadOpen',
    'aeadOpenBlob',
    'aeadSeal',
    'aeadSealBlob',
    'ciphertextInvalid',
    'combine',
    'concat',
    'domainSeparated',
    'equal',
    'fillNonce',
    'fromHex',
    'hkdf',
    'hkdfExpand',
    'hkdfExtract',
    'lp',
    'parseSealed',
    'randomNonce',
    'split',
    'toHex',
    'uint32',
    'uint64',
    'utf8',
    'uuidFromBytes',
    'uuidToBytes',
  ]);
});
