import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  AeadKey,
  SEALED_OVERHEAD,
  SEALED_VERSION,
  SealingKey,
  SecretBytes,
  aeadSeal,
  concat,
  domainSeparated,
  parseSealed,
  toHex,
  utf8,
  uuidToBytes,
} from '../src/index.ts';
import { codeOf } from './cases.ts';

const dek = SecretBytes.from('dek', new Uint8Array(32).fill(7));
const keyVersionId = uuidToBytes('7c0d2f1e-5a53-4c1b-9f0e-3b6a8d2e4f10');
const binding = { keyVersionId, tenantId: 'tenant-a', scopeId: 'payments' };
const key = SealingKey.from(dek, binding);

test('a blob is version, id, nonce, ciphertext, tag, under the AAD of the specification', () => {
  const blob = key.seal(utf8('hello'), 'card/42');
  expect([SEALED_VERSION, SEALED_OVERHEAD]).toEqual([1, 45]);
  expect(blob.length).toBe(45 + 5);
  expect(toHex(parseSealed(blob).keyVersionId)).toBe(toHex(keyVersionId));
  // spec/sealed.md §3, assembled without the code under test's scratch buffer.
  const aad = domainSeparated('minikms/sealed/v1', Uint8Array.of(1), keyVersionId, 'tenant-a', 'payments', 'card/42');
  const body = aeadSeal(AeadKey.from(dek), blob.subarray(17, 29), utf8('hello'), aad);
  expect(toHex(blob)).toBe(toHex(concat(Uint8Array.of(1), keyVersionId, blob.subarray(17, 29), body)));
  expect(key.open(blob, 'card/42').toString()).toBe('hello');
});

test('a string and its UTF-8 are one AAD', () => {
  expect(key.open(key.seal(utf8('x'), 'grüße 🔑'), utf8('grüße 🔑')).toString()).toBe('x');
  expect(key.open(key.seal(utf8('x'), utf8('grüße 🔑')), 'grüße 🔑').toString()).toBe('x');
});

describe('the shared AAD buffer', () => {
  const lengths = [0, 1, 16, 1000, 21_000, 22_600, 65_536, 67_400, 67_584, 70_000, 200_000];

  test.each(lengths)('an AAD of %i characters or bytes', (length) => {
    for (const text of ['k'.repeat(length), 'ü'.repeat(length), '鍵'.repeat(length)]) {
      const blob = key.seal(utf8('x'), text);
      expect(key.open(blob, utf8(text)).toString()).toBe('x');
      expect(codeOf(() => key.open(blob, `${text}k`))).toBe('CIPHERTEXT_INVALID');
    }
  });

  test('keeps nothing of the call before', () => {
    const other = SealingKey.from(dek, { ...binding, tenantId: 'tenant-b' });
    // Same total length, other content; then shorter after longer.
    const [a, b] = [key.seal(utf8('a'), 'aad-1'), other.seal(utf8('b'), 'aad-2')];
    const c = key.seal(utf8('c'), '');
    expect(other.open(b, 'aad-2').toString()).toBe('b');
    expect(key.open(c, '').toString()).toBe('c');
    expect(key.open(a, 'aad-1').toString()).toBe('a');
  });

  test('takes long tenants and scopes', () => {
    const long = SealingKey.from(dek, { ...binding, tenantId: 't'.repeat(80_000) });
    expect(long.open(long.seal(utf8('x'), 'aad'), 'aad').toString()).toBe('x');
  });
});

describe('memory', () => {
  test('a plaintext shares its memory with nothing', () => {
    const plaintext = key.open(key.seal(utf8('hello'), ''), '');
    expect(plaintext.buffer.byteLength).toBe(5);
  });

  test('changing keyVersionId or the binding afterwards changes no blob', () => {
    const id = new Uint8Array(keyVersionId);
    const copy = SealingKey.from(dek, { ...binding, keyVersionId: id });
    id.fill(0);
    copy.keyVersionId.fill(0);
    expect(key.open(copy.seal(utf8('x'), ''), '').toString()).toBe('x');
  });

  test('blobs handed out are not overwritten by the next', () => {
    const blobs = Array.from({ length: 500 }, (_, i) => key.seal(utf8(`plaintext ${i}`), 'aad'));
    blobs.forEach((blob, i) => expect(key.open(blob, 'aad').toString()).toBe(`plaintext ${i}`));
  });
});

describe('refusals', () => {
  test('parse: too short or an unknown version', () => {
    const blob = key.seal(new Uint8Array(), '');
    for (let n = 0; n < 45; n++) {
      expect(codeOf(() => parseSealed(blob.subarray(0, n)))).toBe('CIPHERTEXT_MALFORMED');
      expect(codeOf(() => key.open(blob.subarray(0, n), ''))).toBe('CIPHERTEXT_MALFORMED');
    }
    for (let version = 0; version < 256; version++) {
      const other = Uint8Array.from(blob).fill(version, 0, 1);
      expect(codeOf(() => parseSealed(other))).toBe(version === 1 ? 'returned' : 'CIPHERTEXT_MALFORMED');
    }
  });

  test('another key version, and a DEK under another id', () => {
    const other = SealingKey.from(dek, {
      ...binding,
      keyVersionId: uuidToBytes('00000000-0000-4000-8000-000000000000'),
    });
    const blob = key.seal(utf8('x'), '');
    expect(codeOf(() => other.open(blob, ''))).toBe('CIPHERTEXT_INVALID');
    blob.set(other.keyVersionId, 1);
    expect(codeOf(() => other.open(blob, ''))).toBe('CIPHERTEXT_INVALID');
  });

  test('sizes and text at the border', () => {
    expect(codeOf(() => SealingKey.from(SecretBytes.random('dek', 16), binding))).toBe('KEY_LENGTH');
    expect(codeOf(() => SealingKey.from(dek, { ...binding, keyVersionId: new Uint8Array(15) }))).toBe('LENGTH_INVALID');
    expect(codeOf(() => SealingKey.from(dek, { ...binding, tenantId: '\ud800' }))).toBe('TEXT_INVALID');
    expect(codeOf(() => SealingKey.from(dek, { ...binding, scopeId: '\ud800' }))).toBe('TEXT_INVALID');
    const blob = key.seal(utf8('x'), '\ufffd');
    for (const lone of ['\ud800', 'a'.repeat(70_000) + '\udc00']) {
      expect(codeOf(() => key.seal(utf8('x'), lone))).toBe('TEXT_INVALID');
      expect(codeOf(() => key.open(blob, lone))).toBe('TEXT_INVALID');
    }
    expect(codeOf(() => key.seal(new Uint8Array(2 ** 31), ''))).toBe('LENGTH_INVALID');
  });

  test('a destroyed key', () => {
    const gone = SealingKey.from(dek, binding);
    const blob = gone.seal(utf8('x'), '');
    gone.destroy();
    gone.destroy();
    expect(codeOf(() => gone.seal(utf8('x'), ''))).toBe('SECRET_DESTROYED');
    expect(codeOf(() => gone.open(blob, ''))).toBe('SECRET_DESTROYED');
    expect(key.open(blob, '').toString()).toBe('x');
  });

  test('only a DEK seals', () => {
    // @ts-expect-error: a root key is not a DEK
    expect(SealingKey.from(SecretBytes.random('root-key', 32), binding)).toBeInstanceOf(SealingKey);
  });
});

test('a sealing key prints its id and nothing else', () => {
  expect(Object.keys(key)).toEqual(['keyVersionId']);
  expect(inspect(key, { showHidden: true, depth: null })).not.toMatch(/KeyObject|AeadKey|07, 07|7, 7/);
});
