import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import * as auditChain from '../src/index.ts';
import * as testing from '../src/testing.ts';

test('the package exports these names and no others', () => {
  expect(Object.keys(auditChain).sort()).toEqual([
    'Appender',
    'AuditError',
    'ChainVerifier',
    'Checkpointer',
    'MAX_BYTES',
    'MAX_LINE',
    'MemoryKnownCheckpoints',
    'MemoryNodes',
    'ProofNodes',
    'Refusals',
    'SYSTEM_TENANT',
    'SubjectCache',
    'TreeFrontier',
    'TreeReader',
    'Witnesses',
    'consistencyProof',
    'cosignatures',
    'emptyRoot',
    'encodeCheckpointLine',
    'encodeLine',
    'entryHash',
    'formatOrigin',
    'formatReceipt',
    'formatVerifierKey',
    'formatWitnessKey',
    'inclusionProof',
    'intervalLeaf',
    'leafHash',
    'newSubject',
    'nodeHash',
    'openCheckpoint',
    'openNote',
    'parseCheckpoint',
    'parseLine',
    'parseNote',
    'parseOrigin',
    'parseReceipt',
    'parseVerifierKey',
    'parseWitnessKey',
    'peaks',
    'signCheckpoint',
    'signNote',
    'treeAt',
    'v1EntryHash',
    'verifierKey',
    'verifyConsistency',
    'verifyExport',
    'verifyInclusion',
    'verifyReceipt',
    'verifySubject',
    'verifyV1',
    'witnessKey',
  ]);
});

test('its testing export has these names and no others', () => {
  expect(Object.keys(testing).sort()).toEqual(['MemoryAuditStore', 'entryLogContract', 'treeStoreContract']);
});

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');

test('the README names every error code, reason code and export', () => {
  const readme = read('../README.md');
  const codes = [...`${read('../src/errors.ts')}${read('../src/fault.ts')}`.matchAll(/\| '([A-Z_]+)'/g)].map(
    ([, code]) => String(code),
  );
  expect(codes.length).toBe(35);
  const missing = [...codes, ...Object.keys(auditChain)].filter((name) => !readme.includes(`\`${name}\``));
  expect(missing).toEqual([]);
});

test('the command of the package is what is tested here', () => {
  const manifest = JSON.parse(read('../package.json')) as { bin: Record<string, string> };
  expect(manifest.bin).toEqual({ 'audit-chain': './dist/bin/main.js' });
  expect(read('../src/bin/main.ts')).toMatch(/^#!\/usr\/bin\/env node\n/);
});
