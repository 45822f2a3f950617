import { describe, expect, test } from 'vitest';
import { writeLength } from '../src/bytes.ts';
import {
  concat,
  domainSeparated,
  equal,
  fromHex,
  lp,
  toHex,
  uint32,
  uint64,
  utf8,
  uuidFromBytes,
  uuidToBytes,
} from '../src/index.ts';
import { codeOf } from './cases.ts';

test('utf8 encodes well-formed strings and refuses lone surrogates', () => {
  expect(toHex(utf8('aü鍵🔑'))).toBe('61c3bce98db5f09f9491');
  for (const lone of ['\ud800', '\udfff', 'a\ud83d', '\udd11b', '\udd11\ud83d']) {
    expect(codeOf(() => utf8(lone))).toBe('TEXT_INVALID');
    expect(codeOf(() => lp(lone))).toBe('TEXT_INVALID');
    expect(codeOf(() => domainSeparated('d', lone))).toBe('TEXT_INVALID');
  }
});

test('integers are big-endian and in range', () => {
  expect(toHex(uint32(0x01020304))).toBe('01020304');
  expect(toHex(uint32(0xffff_ffff))).toBe('ffffffff');
  expect(toHex(uint64(1))).toBe('0000000000000001');
  expect(toHex(uint64(Number.MAX_SAFE_INTEGER))).toBe('001fffffffffffff');
  expect(toHex(uint64(0xffff_ffff_ffff_ffffn))).toBe('ffffffffffffffff');
  for (const n of [-1, 0.5, NaN, Infinity, 2 ** 32]) expect(codeOf(() => uint32(n))).toBe('LENGTH_INVALID');
  for (const n of [-1, 0.5, NaN, Infinity, 2 ** 53, -1n, 1n << 64n]) {
    expect(codeOf(() => uint64(n))).toBe('LENGTH_INVALID');
  }
});

test('LP is an 8-byte length and the bytes', () => {
  expect(toHex(lp(''))).toBe('0000000000000000');
  expect(toHex(lp('ü'))).toBe('0000000000000002c3bc');
  expect(lp('abc')).toEqual(lp(utf8('abc')));
});

test('lengths of 4 GiB and more keep all their bits', () => {
  for (const n of [0, 255, 65_536, 0xffff_ffff, 2 ** 32, 2 ** 40 + 0x0102_0304, Number.MAX_SAFE_INTEGER]) {
    const out = new Uint8Array(10).fill(0xee);
    writeLength(out, 1, n);
    expect(toHex(out)).toBe(`ee${toHex(uint64(n))}ee`);
  }
});

test('a domain string is printable ASCII, unterminated, before the fields', () => {
  expect(domainSeparated('minikms/x/v1', 'a', Uint8Array.of(2))).toEqual(
    concat(utf8('minikms/x/v1'), lp('a'), lp(Uint8Array.of(2))),
  );
  for (const domain of ['', 'ü', 'a\n', 'a\0']) expect(codeOf(() => domainSeparated(domain))).toBe('TEXT_INVALID');
});

test('equal compares contents and takes unequal lengths', () => {
  expect(equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
  expect(equal(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
  expect(equal(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false);
  expect(equal(new Uint8Array(), new Uint8Array())).toBe(true);
});

describe('text forms', () => {
  test('hexadecimal is strict', () => {
    expect(fromHex('00fFAb')).toEqual(Uint8Array.of(0, 255, 0xab));
    expect(fromHex('')).toEqual(new Uint8Array());
    expect(toHex(Uint8Array.of(9, 0, 255, 0xab).subarray(1))).toBe('00ffab');
    for (const bad of ['0', '0g', '0x00', ' 00', '00\n', '٠٠']) {
      expect(codeOf(() => fromHex(bad))).toBe('TEXT_INVALID');
    }
  });

  test('UUIDs in canonical text only', () => {
    const text = '7c0d2f1e-5a53-4c1b-9f0e-3b6a8d2e4f10';
    expect(toHex(uuidToBytes(text))).toBe('7c0d2f1e5a534c1b9f0e3b6a8d2e4f10');
    expect(uuidFromBytes(uuidToBytes(text.toUpperCase()))).toBe(text);
    const bad = ['', `{${text}}`, `urn:uuid:${text}`, text.replaceAll('-', ''), ` ${text}`, `${text}\n`];
    for (const refused of [...bad, '7c0d2f1e5-a53-4c1b-9f0e-3b6a8d2e4f10', text.replace('7', 'g')]) {
      expect(codeOf(() => uuidToBytes(refused))).toBe('TEXT_INVALID');
    }
    for (const length of [0, 15, 17])
      expect(codeOf(() => uuidFromBytes(new Uint8Array(length)))).toBe('LENGTH_INVALID');
  });
});
