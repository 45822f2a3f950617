import { describe, expect, test } from 'vitest';
import { hkdf, hkdfExpand, hkdfExtract, toHex } from '../src/index.ts';
import { codeOf, h } from './cases.ts';
import { records, vectorJson, vectorsAbsent, vectorText } from './vectors.ts';

const range = (from: number, to: number): string =>
  toHex(Uint8Array.from({ length: to - from + 1 }, (_, i) => from + i));

// RFC 5869, appendix A.1 to A.3.
const RFC_5869 = [
  {
    ikm: '0b'.repeat(22),
    salt: range(0x00, 0x0c),
    info: range(0xf0, 0xf9),
    length: 42,
    prk: '077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5',
    okm: '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
  },
  {
    ikm: range(0x00, 0x4f),
    salt: range(0x60, 0xaf),
    info: range(0xb0, 0xff),
    length: 82,
    prk: '06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244',
    okm:
      'b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09' +
      'da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87',
  },
  {
    ikm: '0b'.repeat(22),
    salt: '',
    info: '',
    length: 42,
    prk: '19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04',
    okm: '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
  },
];

test.each(RFC_5869)('RFC 5869 appendix A, salt $salt', ({ ikm, salt, info, length, prk, okm }) => {
  expect(toHex(hkdfExtract(h(ikm), h(salt)))).toBe(prk);
  expect(toHex(hkdfExpand(h(prk), h(info), length))).toBe(okm);
  expect(toHex(hkdf(h(ikm), h(salt), h(info), length))).toBe(okm);
});

test('output lengths are 1 to 8160 bytes', () => {
  const [prk, none] = [new Uint8Array(32), new Uint8Array()];
  expect(hkdfExpand(prk, none, 1).length).toBe(1);
  expect(hkdfExpand(prk, none, 8160).length).toBe(8160);
  for (const length of [0, -1, 8161, 1.5, NaN, Infinity]) {
    expect(codeOf(() => hkdfExpand(prk, none, length))).toBe('LENGTH_INVALID');
    expect(codeOf(() => hkdf(prk, none, none, length))).toBe('LENGTH_INVALID');
  }
});

test('Expand refuses a key shorter than the hash', () => {
  expect(codeOf(() => hkdfExpand(new Uint8Array(31), new Uint8Array(), 32))).toBe('KEY_LENGTH');
});

describe.skipIf(vectorsAbsent)('public vectors', () => {
  const files = ['hkdf/rfc-5869-HKDF-SHA256.txt', 'hkdf/hkdf-generated.txt'];

  test.each(files)('%s', (file) => {
    const cases = records(vectorText(file));
    expect(cases.length).toBe(file.includes('rfc') ? 3 : 1);
    for (const { IKM, salt, info, L, PRK, OKM } of cases as Record<string, string>[]) {
      if (PRK !== undefined) expect(toHex(hkdfExtract(h(IKM!), h(salt!)))).toBe(PRK);
      expect(toHex(hkdf(h(IKM!), h(salt!), h(info!), Number(L)))).toBe(OKM);
    }
  });

  test('wycheproof hkdf_sha256', () => {
    type Case = { tcId: number; ikm: string; salt: string; info: string; size: number; okm: string; result: string };
    const file = vectorJson<{ numberOfTests: number; testGroups: { tests: Case[] }[] }>(
      'wycheproof/hkdf_sha256_test.json',
    );
    const cases = file.testGroups.flatMap((group) => group.tests);
    expect(cases.length).toBe(file.numberOfTests);
    for (const c of cases) {
      const derive = (): string => toHex(hkdf(h(c.ikm), h(c.salt), h(c.info), c.size));
      if (c.result === 'valid') expect(derive(), `tcId ${c.tcId}`).toBe(c.okm);
      else expect(codeOf(derive), `tcId ${c.tcId}`).toBe('LENGTH_INVALID');
    }
  });
});
