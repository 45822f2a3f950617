import { expect, test } from 'vitest';
import * as client from '../src/index.ts';

test('the package exports these names and no others', () => {
  expect(Object.keys(client).toSorted()).toEqual(['CiphertextEncoding', 'MiniKmsError', 'connect']);
});

test('there is a function for each RPC', () => {
  const minikms = client.connect({ address: '127.0.0.1:1' });
  minikms.close();
  expect(Object.keys(minikms.kms).toSorted()).toEqual([
    'batchDecrypt',
    'batchEncrypt',
    'createDataKey',
    'decrypt',
    'encrypt',
    'getKeyInfo',
    'reEncrypt',
    'rotateDataKey',
  ]);
});
