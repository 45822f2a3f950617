import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SecretBytes, Signer, toHex, verifySignature } from '../src/index.ts';
import { codeOf, h } from './cases.ts';

const signerOf = (seed: string): Signer => Signer.fromSeed(SecretBytes.from('signing-seed', h(seed)));

// RFC 8032 §7.1, TEST 1 to 3.
const RFC8032 = [
  {
    seed: '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    publicKey: 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    message: '',
    signature:
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155' +
      '5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  },
  {
    seed: '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    publicKey: '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    message: '72',
    signature:
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  },
  {
    seed: 'c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7',
    publicKey: 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
    message: 'af82',
    signature:
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac' +
      '18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
  },
] as const;

describe.each(RFC8032)('RFC 8032 §7.1, message "$message"', ({ seed, publicKey, message, signature }) => {
  test('the public key and the signature are reproduced, and verify', () => {
    const signer = signerOf(seed);
    expect(toHex(signer.publicKey)).toBe(publicKey);
    expect(toHex(signer.sign(h(message)))).toBe(signature);
    expect(verifySignature(h(publicKey), h(message), h(signature))).toBe(true);
  });

  test('a flipped bit anywhere does not verify', () => {
    for (let bit = 0; bit < 512; bit += 1) {
      const changed = h(signature);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(verifySignature(h(publicKey), h(message), changed)).toBe(false);
    }
    expect(verifySignature(h(publicKey), h(`${message}00`), h(signature))).toBe(false);
    expect(verifySignature(h(RFC8032[0].publicKey).reverse(), h(message), h(signature))).toBe(false);
  });
});

test('an S that is not reduced is refused (RFC 8032 §5.1.7)', () => {
  const signature = h(RFC8032[0].signature);
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const s = BigInt(`0x${toHex(signature.slice(32).reverse())}`) + order;
  signature.set(h(s.toString(16).padStart(64, '0')).reverse(), 32);
  expect(verifySignature(h(RFC8032[0].publicKey), h(''), signature)).toBe(false);
});

test('malformed keys and signatures are false, and nothing throws', () => {
  const bytes = fc.uint8Array({ maxLength: 80 });
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const signature = fc.uint8Array({ minLength: 64, maxLength: 64 });
  fc.assert(
    fc.property(fc.oneof(key, bytes), bytes, fc.oneof(signature, bytes), (k, message, s) => {
      expect(verifySignature(k, message, s)).toBe(false);
    }),
  );
});

test('a seed is 32 bytes that were not destroyed', () => {
  expect(codeOf(() => signerOf('00'.repeat(31)))).toBe('KEY_LENGTH');
  expect(codeOf(() => signerOf('00'.repeat(64)))).toBe('KEY_LENGTH');
  const seed = SecretBytes.random('signing-seed', 32);
  seed.destroy();
  expect(codeOf(() => Signer.fromSeed(seed))).toBe('SECRET_DESTROYED');
});

test('the key outlives its seed, and signs no more after destroy', () => {
  const seed = SecretBytes.random('signing-seed', 32);
  const signer = Signer.fromSeed(seed);
  seed.destroy();
  expect(verifySignature(signer.publicKey, h('00'), signer.sign(h('00')))).toBe(true);
  signer.publicKey.fill(0);
  expect(verifySignature(signer.publicKey, h('00'), signer.sign(h('00')))).toBe(true);
  signer.destroy();
  expect(codeOf(() => signer.sign(h('00')))).toBe('SECRET_DESTROYED');
  expect(signer.publicKey).toHaveLength(32);
});

test('the key does not print', () => {
  const { seed } = RFC8032[0];
  const signer = signerOf(seed);
  const printed = inspect(signer, { showHidden: true, depth: 9 }) + JSON.stringify(signer);
  expect(printed).not.toContain(seed);
  expect(printed).not.toContain(Buffer.from(seed, 'hex').toString('base64'));
  expect(Object.keys(signer)).toEqual([]);
});
