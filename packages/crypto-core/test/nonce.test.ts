import { expect, test } from 'vitest';
import { fillNonce, randomNonce, toHex } from '../src/index.ts';
import { codeOf } from './cases.ts';

test('100000 nonces, across many refills of the pool, are all different', () => {
  const seen = new Set<string>();
  const target = new Uint8Array(20);
  for (let i = 0; i < 50_000; i++) {
    seen.add(toHex(randomNonce()));
    fillNonce(target, 4);
    seen.add(toHex(target.subarray(4, 16)));
  }
  expect(seen.size).toBe(100_000);
});

test('fillNonce writes 12 bytes and no others', () => {
  const target = new Uint8Array(20);
  for (let i = 0; i < 64; i++) fillNonce(target, 4);
  expect(toHex(target.subarray(0, 4))).toBe('00000000');
  expect(toHex(target.subarray(16))).toBe('00000000');
});

test('every byte of a nonce varies', () => {
  const or = new Uint8Array(12);
  const and = new Uint8Array(12).fill(255);
  for (let n = 0; n < 256; n++) {
    randomNonce().forEach((byte, i) => {
      or[i]! |= byte;
      and[i]! &= byte;
    });
  }
  expect(toHex(or)).toBe('ff'.repeat(12));
  expect(toHex(and)).toBe('00'.repeat(12));
});

test('a nonce that does not fit is refused', () => {
  for (const [length, offset] of [
    [11, 0],
    [12, 1],
    [24, 13],
    [12, -1],
    [12, 0.5],
    [12, NaN],
  ] as const) {
    expect(codeOf(() => fillNonce(new Uint8Array(length), offset))).toBe('LENGTH_INVALID');
  }
});
