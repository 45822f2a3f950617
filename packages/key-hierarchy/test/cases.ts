import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromHex, SecretBytes } from '@minikms/crypto-core';
import { DEFAULT_HKDF_SALT, openRoot, type Root } from '../src/index.ts';

/** Hexadecimal in, bytes out: a short name for tables of cases. */
export const h: (hex: string) => Uint8Array = fromHex;

/** The code that `fn` throws, or `'returned'`. */
export function codeOf(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'returned';
}

/** The code that a promise is rejected with, or `'resolved'`. */
export async function rejection(promise: PromiseLike<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'resolved';
}

/** A root key of 32 times the same byte. */
export function rootOf(byte = 7, salt: string = DEFAULT_HKDF_SALT): Root {
  return openRoot(SecretBytes.take('root-key', new Uint8Array(32).fill(byte)), salt);
}

export interface GoldenRow {
  root_key: string;
  salt: string;
  root_key_id: string;
  salt_id: string;
  tenant: string;
  scope: string;
  id: string;
  version: number;
  tenant_key_generation: number;
  max_encryptions: number;
  wrapped_dek: string;
}

export interface GoldenCase extends GoldenRow {
  name: string;
  row_cache_mac_key: string;
  tenant_master_key: string;
  dek_wrap_key: string;
  dek: string;
  nonce: string;
  aad: string;
  row_cache: { written_at_ms: number; position: number; name: string; value: string };
  mutations: (Partial<GoldenRow> & { name: string; expect: string })[];
}

export interface GoldenServerKey {
  name: string;
  root_key: string;
  salt: string;
  root_key_id: string;
  salt_id: string;
  server_key_wrap_key: string;
  purpose: 'audit-checkpoint';
  key_name: string;
  seed: string;
  public_key: string;
  nonce: string;
  aad: string;
  wrapped_key: string;
  mutations: (Partial<Omit<GoldenServerKey, 'mutations'>> & { name: string; expect: string })[];
}

interface GoldenFile {
  cases: GoldenCase[];
  server_keys: GoldenServerKey[];
}

/** spec/vectors/key-hierarchy.json, which every checkout has. */
export function goldenFile(): GoldenFile {
  const file = new URL('../../../spec/vectors/key-hierarchy.json', import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as GoldenFile;
}

const project = fileURLToPath(new URL('../../../', import.meta.url));
const compatFile = resolve(
  project,
  process.env['MINIKMS_VECTORS_DIR'] ?? '../shared/vectors',
  'minikms-compat/minikms-crypto-vectors.json',
);

/** For `describe.skipIf`. The golden file proves the derivation all the same. */
export const compatAbsent: boolean = !existsSync(compatFile);

/** Tenant master keys that the Go service computed; none when the vectors are absent. */
export function compatKeys(): { root_key: string; org_id: string; salt_utf8: string; org_master_key: string }[] {
  if (compatAbsent) {
    console.warn(`\n*** GO COMPATIBILITY VECTORS SKIPPED: no ${compatFile} (set MINIKMS_VECTORS_DIR) ***\n`);
    return [];
  }
  return (JSON.parse(readFileSync(compatFile, 'utf8')) as { hkdf_org_keys: ReturnType<typeof compatKeys> })
    .hkdf_org_keys;
}
