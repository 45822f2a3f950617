import { SecretBytes } from '@minikms/crypto-core';

/** Reads 32 bytes written as 64 hexadecimal digits, white space around them allowed, without making a string of them. */
export function readRootKey(source: Uint8Array): SecretBytes<'root-key'> | undefined {
  const key = new Uint8Array(32);
  try {
    let start = 0;
    let end = source.length;
    while (start < end && isSpace(source[start])) start++;
    while (end > start && isSpace(source[end - 1])) end--;
    if (end - start !== 64) return undefined;
    for (let i = 0; i < 32; i++) {
      const high = digit(source[start + 2 * i]);
      const low = digit(source[start + 2 * i + 1]);
      if (high < 0 || low < 0) return undefined;
      key[i] = high * 16 + low;
    }
    return SecretBytes.from('root-key', key);
  } finally {
    key.fill(0);
  }
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function digit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}
