import { readFileSync } from 'node:fs';
import { fromHex } from '../src/index.ts';

/** A file of spec/vectors, which every checkout has. */
export function golden<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../../spec/vectors/${name}`, import.meta.url), 'utf8')) as T;
}

/** The code that `fn` throws, or `'returned'`. */
export function codeOf(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'returned';
}

/** Hexadecimal in, bytes out: a short name for tables of cases. */
export const h: (hex: string) => Uint8Array = fromHex;
