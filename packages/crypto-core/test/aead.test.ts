import { Decipheriv } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { AeadKey, SecretBytes, aeadOpen, aeadOpenBlob, aeadSeal, aeadSealBlob, concat, toHex } from '../src/index.ts';
import { codeOf, h } from './cases.ts';
import { vectorJson, vectorsAbsent } from './vectors.ts';

const keyOf = (hex: string): AeadKey => AeadKey.from(SecretBytes.from('test', h(hex)));

// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 to 16.
const KEY = 'feffe9928665731c6d6a8f9467308308'.repeat(2);
const TEXT =
  'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
  '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255';
const CIPHER =
  '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
  '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad';
const GCM = [
  ['00'.repeat(32), '00'.repeat(12), '', '', '', '530f8afbc74536b9a963b4f1c4cb738b'],
  [
    '00'.repeat(32),
    '00'.repeat(12),
    '00'.repeat(16),
    '',
    'cea7403d4d606b6e074ec5d3baf39d18',
    'd0d1c8a799996bf0265b98b5d48ab919',
  ],
  [KEY, 'cafebabefacedbaddecaf888', TEXT, '', CIPHER, 'b094dac5d93471bdec1a502270e3cc6c'],
  [
    KEY,
    'cafebabefacedbaddecaf888',
    TEXT.slice(0, 120),
    'feedfacedeadbeeffeedfacedeadbeefabaddad2',
    CIPHER.slice(0, 120),
    '76fc6ece0f4e1768cddf8853bb2d551b',
  ],
] as const;

test.each(GCM)('GCM test cases 13 to 16: key %s nonce %s', (key, nonce, plaintext, aad, ciphertext, tag) => {
  const sealed = aeadSeal(keyOf(key), h(nonce), h(plaintext), h(aad));
  expect(toHex(sealed)).toBe(ciphertext + tag);
  expect(toHex(aeadOpen(keyOf(key), h(nonce), sealed, h(aad)))).toBe(plaintext);
});

describe('sizes', () => {
  const key = keyOf(KEY);
  const none = new Uint8Array();

  test('keys of other sizes are refused', () => {
    for (const n of [0, 16, 24, 31, 33, 64]) expect(codeOf(() => keyOf('00'.repeat(n)))).toBe('KEY_LENGTH');
  });

  test('nonces of other sizes are refused', () => {
    for (const n of [0, 8, 11, 13, 16]) {
      expect(codeOf(() => aeadSeal(key, new Uint8Array(n), none, none))).toBe('LENGTH_INVALID');
      expect(codeOf(() => aeadOpen(key, new Uint8Array(n), new Uint8Array(16), none))).toBe('LENGTH_INVALID');
    }
  });

  test('inputs that OpenSSL cannot count are refused before any work', () => {
    // Never written to, so the pages of this array are never allocated.
    const huge = new Uint8Array(2 ** 31);
    const nonce = new Uint8Array(12);
    expect(codeOf(() => aeadSeal(key, nonce, huge, none))).toBe('LENGTH_INVALID');
    expect(codeOf(() => aeadSeal(key, nonce, none, huge))).toBe('LENGTH_INVALID');
    expect(codeOf(() => aeadOpen(key, nonce, new Uint8Array(16), huge))).toBe('LENGTH_INVALID');
    expect(codeOf(() => aeadOpen(key, nonce, new Uint8Array(2 ** 31 + 16), none))).toBe('CIPHERTEXT_INVALID');
  });

  test('truncated tags are refused', () => {
    const sealed = aeadSeal(key, new Uint8Array(12), none, none);
    for (let n = 0; n < 16; n++) {
      expect(codeOf(() => aeadOpen(key, new Uint8Array(12), sealed.subarray(0, n), none))).toBe('CIPHERTEXT_INVALID');
    }
  });
});

describe('blobs', () => {
  const key = keyOf(KEY);
  const aad = Uint8Array.of(1, 2);

  test('are nonce, ciphertext, tag; and never twice the same', () => {
    const [a, b] = [aeadSealBlob(key, h(TEXT), aad), aeadSealBlob(key, h(TEXT), aad)];
    expect(a.length).toBe(28 + 64);
    expect(toHex(a)).not.toBe(toHex(b));
    expect(a).toEqual(concat(a.subarray(0, 12), aeadSeal(key, a.subarray(0, 12), h(TEXT), aad)));
    expect(toHex(aeadOpenBlob(key, a, aad))).toBe(TEXT);
  });

  test('refuse what is too short to be one, every flipped bit, another key and another aad', () => {
    const blob = aeadSealBlob(key, h('0102'), aad);
    for (let n = 0; n < 28; n++) {
      expect(codeOf(() => aeadOpenBlob(key, blob.subarray(0, n), aad))).toBe('CIPHERTEXT_MALFORMED');
    }
    for (let bit = 0; bit < blob.length * 8; bit++) {
      const forged = blob.slice();
      forged[bit >> 3]! ^= 1 << (bit & 7);
      expect(codeOf(() => aeadOpenBlob(key, forged, aad))).toBe('CIPHERTEXT_INVALID');
    }
    expect(codeOf(() => aeadOpenBlob(keyOf('11'.repeat(32)), blob, aad))).toBe('CIPHERTEXT_INVALID');
    expect(codeOf(() => aeadOpenBlob(key, blob, new Uint8Array()))).toBe('CIPHERTEXT_INVALID');
  });
});

test('a failed decryption leaves no plaintext behind', () => {
  const key = keyOf(KEY);
  const sealed = aeadSeal(key, new Uint8Array(12), h(TEXT), new Uint8Array());
  sealed[sealed.length - 1]! ^= 1;
  // With only the tag wrong, update() has produced the whole plaintext by the time final() fails.
  const decrypted: Buffer[] = [];
  const update = vi.spyOn(Decipheriv.prototype, 'update');
  try {
    expect(codeOf(() => aeadOpen(key, new Uint8Array(12), sealed, new Uint8Array()))).toBe('CIPHERTEXT_INVALID');
    for (const result of update.mock.results) decrypted.push(result.value as unknown as Buffer);
  } finally {
    update.mockRestore();
  }
  expect(decrypted.map(toHex)).toEqual(['00'.repeat(64)]);
});

test('a destroyed key refuses, and the secret it came from stays usable', () => {
  const secret = SecretBytes.random('dek', 32);
  const key = AeadKey.from(secret);
  key.destroy();
  const [nonce, none] = [new Uint8Array(12), new Uint8Array()];
  expect(codeOf(() => aeadSeal(key, nonce, none, none))).toBe('SECRET_DESTROYED');
  expect(codeOf(() => aeadOpen(key, nonce, new Uint8Array(16), none))).toBe('SECRET_DESTROYED');
  expect(codeOf(() => aeadSealBlob(key, none, none))).toBe('SECRET_DESTROYED');
  expect(secret.destroyed).toBe(false);
  secret.destroy();
  expect(codeOf(() => AeadKey.from(secret))).toBe('SECRET_DESTROYED');
});

test('a key shows nothing when printed', () => {
  expect(inspect(keyOf(KEY), { showHidden: true, depth: null })).toBe('AeadKey {}');
  expect(JSON.stringify(keyOf(KEY))).toBe('{}');
});

describe.skipIf(vectorsAbsent)('public vectors', () => {
  test('wycheproof aes_gcm: 256/96/128 as told, every other size refused', () => {
    type Case = {
      tcId: number;
      key: string;
      iv: string;
      aad: string;
      msg: string;
      ct: string;
      tag: string;
      result: string;
    };
    type Group = { ivSize: number; keySize: number; tagSize: number; tests: Case[] };
    const groups = vectorJson<{ testGroups: Group[] }>('wycheproof/aes_gcm_test.json').testGroups;
    let run = 0;
    for (const { ivSize, keySize, tagSize, tests } of groups) {
      expect(tagSize).toBe(128);
      for (const c of tests) {
        const open = (): string => toHex(aeadOpen(keyOf(c.key), h(c.iv), h(c.ct + c.tag), h(c.aad)));
        const seal = (): string => toHex(aeadSeal(keyOf(c.key), h(c.iv), h(c.msg), h(c.aad)));
        const label = `tcId ${c.tcId}`;
        if (keySize !== 256 || ivSize !== 96) {
          const code = keySize === 256 ? 'LENGTH_INVALID' : 'KEY_LENGTH';
          expect([codeOf(open), codeOf(seal)], label).toEqual([code, code]);
          continue;
        }
        run++;
        if (c.result === 'valid') expect([open(), seal()], label).toEqual([c.msg, c.ct + c.tag]);
        else expect(codeOf(open), label).toBe('CIPHERTEXT_INVALID');
      }
    }
    expect(run).toBe(66);
  });

  test('NIST CAVP gcmEncryptExtIV256', () => {
    type Case = { count: number; Key: string; IV: string; PT: string; CT: string; AAD: string; Tag: string };
    const { cases } = vectorJson<{ cases: Case[] }>('nist-cavp/gcmEncryptExtIV256-iv96-tag128.json');
    expect(cases.length).toBe(375);
    for (const c of cases) {
      const key = keyOf(c.Key);
      expect(toHex(aeadSeal(key, h(c.IV), h(c.PT), h(c.AAD)))).toBe(c.CT + c.Tag);
      expect(toHex(aeadOpen(key, h(c.IV), h(c.CT + c.Tag), h(c.AAD)))).toBe(c.PT);
    }
  });
});
