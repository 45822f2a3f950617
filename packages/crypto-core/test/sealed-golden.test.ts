import { describe, expect, test } from 'vitest';
import {
  AeadKey,
  SealingKey,
  SecretBytes,
  aeadSeal,
  concat,
  domainSeparated,
  parseSealed,
  toHex,
  uuidFromBytes,
  uuidToBytes,
} from '../src/index.ts';
import { codeOf, golden, h } from './cases.ts';

interface Sealed {
  dek: string;
  key_version_id: string;
  tenant: string;
  scope: string;
  aad: string;
  blob: string;
}

interface Case extends Sealed {
  name: string;
  nonce: string;
  plaintext: string;
  mutations: (Partial<Sealed> & { name: string; expect: string })[];
}

const { cases } = golden<{ cases: Case[] }>('sealed.json');

function open(c: Sealed): string {
  const binding = { keyVersionId: uuidToBytes(c.key_version_id), tenantId: c.tenant, scopeId: c.scope };
  return toHex(SealingKey.from(SecretBytes.take('dek', h(c.dek)), binding).open(h(c.blob), c.aad));
}

test('the golden file is whole', () => {
  expect(cases.length).toBe(8);
  expect(cases.flatMap((c) => c.mutations).length).toBe(243);
});

describe.each(cases)('spec/vectors/sealed.json: $name', (c) => {
  test('is reproduced from its nonce', () => {
    const id = uuidToBytes(c.key_version_id);
    const aad = domainSeparated('minikms/sealed/v1', Uint8Array.of(1), id, c.tenant, c.scope, c.aad);
    const key = AeadKey.from(SecretBytes.from('dek', h(c.dek)));
    const blob = concat(Uint8Array.of(1), id, h(c.nonce), aeadSeal(key, h(c.nonce), h(c.plaintext), aad));
    expect(toHex(blob)).toBe(c.blob);
  });

  test('opens', () => {
    expect(uuidFromBytes(parseSealed(h(c.blob)).keyVersionId)).toBe(c.key_version_id);
    expect(open(c)).toBe(c.plaintext);
  });

  test.each(c.mutations)('is refused: $name', (mutation) => {
    expect(codeOf(() => open({ ...c, ...mutation }))).toBe(mutation.expect);
  });
});
