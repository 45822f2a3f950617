import { readdirSync, readFileSync } from 'node:fs';
import {
  AeadKey,
  aeadSeal,
  concat,
  domainSeparated,
  fromHex,
  SecretBytes,
  toHex,
  uint64,
  uuidToBytes,
} from '@minikms/crypto-core';
import { describe, expect, test } from 'vitest';
import { purposeKey, tenantMasterKey } from '../src/derive.ts';
import { type NewKeyVersion, openRoot, type Root, RowCache, serverKey } from '../src/index.ts';
import { MemoryByteCache } from '../src/testing.ts';
import { unwrapDek } from '../src/wrap.ts';
import { codeOf, type GoldenRow, goldenFile, h } from './cases.ts';

const { cases } = goldenFile();

const rootOfCase = (c: GoldenRow): Root => openRoot(SecretBytes.take('root-key', h(c.root_key)), c.salt);

function rowOf(c: GoldenRow): NewKeyVersion {
  return {
    tenantId: c.tenant,
    scopeId: c.scope,
    id: c.id,
    version: c.version,
    wrappedDek: h(c.wrapped_dek),
    rootKeyId: h(c.root_key_id),
    saltId: h(c.salt_id),
    tenantKeyGeneration: c.tenant_key_generation,
    maxEncryptions: c.max_encryptions,
  };
}

test('the golden file is whole', () => {
  expect(cases.map((c) => c.mutations.length)).toEqual([92, 92, 93]);
});

describe.each(cases)('spec/vectors/key-hierarchy.json: $name', (c) => {
  test('its keys and check values are derived', () => {
    const root = rootOfCase(c);
    expect(toHex(root.check.rootKeyId)).toBe(c.root_key_id);
    expect(toHex(root.check.saltId)).toBe(c.salt_id);
    expect(serverKey(root, 'row-cache-mac').expose(toHex)).toBe(c.row_cache_mac_key);
    expect(tenantMasterKey(root, c.tenant, c.tenant_key_generation).expose(toHex)).toBe(c.tenant_master_key);
    expect(purposeKey(root, c.tenant, c.tenant_key_generation, 'dek-wrap').expose(toHex)).toBe(c.dek_wrap_key);
  });

  test('its wrapped DEK is reproduced from its nonce', () => {
    const aad = domainSeparated(
      'minikms/key-version/v1',
      c.tenant,
      c.scope,
      uuidToBytes(c.id),
      uint64(c.version),
      h(c.root_key_id),
    );
    expect(toHex(aad)).toBe(c.aad);
    const key = AeadKey.from(SecretBytes.take('dek-wrap', h(c.dek_wrap_key)));
    expect(toHex(concat(h(c.nonce), aeadSeal(key, h(c.nonce), h(c.dek), aad)))).toBe(c.wrapped_dek);
  });

  test('its wrapped DEK opens', () => {
    expect(unwrapDek(rootOfCase(c), rowOf(c)).expose(toHex)).toBe(c.dek);
  });

  test.each(c.mutations)('is refused: $name', (mutation) => {
    const changed = { ...c, ...mutation };
    expect(codeOf(() => unwrapDek(rootOfCase(changed), rowOf(changed)))).toBe(mutation.expect);
  });

  test('its value in the shared cache is reproduced and read', async () => {
    const cache = new MemoryByteCache();
    const rows = new RowCache(cache, serverKey(rootOfCase(c), 'row-cache-mac'), () => c.row_cache.written_at_ms);
    await rows.set(rowOf(c), c.row_cache.position);
    expect([...cache.values.keys()]).toEqual([c.row_cache.name]);
    expect(toHex((await cache.get(c.row_cache.name)) ?? new Uint8Array())).toBe(c.row_cache.value);
    await cache.set(c.row_cache.name, fromHex(c.row_cache.value), 1000);
    const read = await rows.get({ tenantId: c.tenant, scopeId: c.scope }, c.id);
    expect(read?.position).toBe(c.row_cache.position);
    expect(unwrapDek(rootOfCase(c), read!.row).expose(toHex)).toBe(c.dek);
    expect(read?.row.maxEncryptions).toBe(c.max_encryptions);
  });
});

test('a failed unwrap tells neither bytes nor ids of tenants in its message', () => {
  const c = { ...cases[0]!, version: 99 };
  expect(() => unwrapDek(rootOfCase(c), rowOf(c))).toThrow(`key version ${c.id} does not open: its row was changed`);
});

test('every section of spec/key-hierarchy.md that the source cites is there', () => {
  const page = readFileSync(new URL('../../../spec/key-hierarchy.md', import.meta.url), 'utf8');
  const sections = new Map([...page.matchAll(/^## (\d+)\. (.+)$/gm)].map(([, number, title]) => [number, title]));
  const source = new URL('../src/', import.meta.url);
  const cited = readdirSync(source)
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) =>
      [...readFileSync(new URL(name, source), 'utf8').matchAll(/key-hierarchy\.md §(\d+)/g)].map(
        ([, number]) => `${name}: ${sections.get(number)}`,
      ),
    );
  expect(new Set(cited)).toEqual(
    new Set([
      'derive.ts: Purpose keys',
      'derive.ts: Server keys and check values',
      'derive.ts: Tenant master key',
      'keyring.ts: Budget and lifecycle',
      'ports.ts: Wrapped server key',
      'row-cache.ts: Shared row cache',
      'server-key.ts: Wrapped server key',
      'wrap.ts: Wrapped DEK',
    ]),
  );
});
