import { existsSync, globSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as protocol from '../src/index.ts';

const root = join(import.meta.dirname, '..');

test('the package exports these names and no others', () => {
  expect(Object.keys(protocol).toSorted()).toEqual([
    'AuditEntry',
    'AuditServiceClient',
    'AuditServiceService',
    'BatchDecryptItem',
    'BatchDecryptRequest',
    'BatchDecryptResponse',
    'BatchEncryptItem',
    'BatchEncryptRequest',
    'BatchEncryptResponse',
    'CiphertextEncoding',
    'CreateDataKeyRequest',
    'CreateDataKeyResponse',
    'DecryptRequest',
    'DecryptResponse',
    'EncryptRequest',
    'EncryptResponse',
    'ExportLogRequest',
    'ExportLogResponse',
    'GetAuditLogsRequest',
    'GetAuditLogsResponse',
    'GetCheckpointRequest',
    'GetCheckpointResponse',
    'GetConsistencyProofRequest',
    'GetConsistencyProofResponse',
    'GetInclusionProofRequest',
    'GetInclusionProofResponse',
    'GetKeyInfoRequest',
    'GetKeyInfoResponse',
    'GetReceiptRequest',
    'GetReceiptResponse',
    'ItemError',
    'KMSServiceClient',
    'KMSServiceService',
    'ReEncryptRequest',
    'ReEncryptResponse',
    'RotateDataKeyRequest',
    'RotateDataKeyResponse',
    'VerifyChainRequest',
    'VerifyChainResponse',
  ]);
});

test('the descriptor set and the proto files are found by name', () => {
  const { resolve } = createRequire(import.meta.url);
  expect(existsSync(resolve('@minikms/protocol/minikms.binpb'))).toBe(true);
  expect(existsSync(resolve('@minikms/protocol/proto/minikms/v1/kms.proto'))).toBe(true);
});

test('the proto files that the package carries are the workspace’s', () => {
  const source = join(root, '..', '..', 'proto');
  const names = globSync('**/*.proto', { cwd: source }).toSorted();
  expect(globSync('**/*.proto', { cwd: join(root, 'gen', 'proto') }).toSorted()).toEqual(names);
  for (const name of names) {
    expect(readFileSync(join(root, 'gen', 'proto', name))).toEqual(readFileSync(join(source, name)));
  }
});
