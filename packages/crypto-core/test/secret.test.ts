import { format, inspect } from 'node:util';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { SecretBytes } from '../src/index.ts';
import { codeOf } from './cases.ts';

const bytes = (): Uint8Array => Uint8Array.from({ length: 32 }, (_, i) => 0xa0 + i);

describe('ownership', () => {
  test('from copies and leaves the source', () => {
    const source = bytes();
    const secret = SecretBytes.from('dek', source);
    expect(source).toEqual(bytes());
    source.fill(1);
    secret.expose((live) => expect(live).toEqual(bytes()));
    expect(secret).toMatchObject({ kind: 'dek', length: 32, destroyed: false });
  });

  test('take copies and zeroes the source', () => {
    const source = bytes();
    const secret = SecretBytes.take('dek', source);
    expect(source).toEqual(new Uint8Array(32));
    secret.expose((live) => expect(live).toEqual(bytes()));
  });

  test('random secrets differ, and have a length', () => {
    const [a, b] = [SecretBytes.random('dek', 32), SecretBytes.random('dek', 32)];
    expect(a.equals(b)).toBe(false);
    expect(SecretBytes.random('salt', 65_536).length).toBe(65_536);
    for (const n of [0, -1, 1.5, NaN, 65_537])
      expect(codeOf(() => SecretBytes.random('dek', n))).toBe('LENGTH_INVALID');
  });

  test('the bytes have an ArrayBuffer of their own', () => {
    SecretBytes.from('dek', bytes()).expose((live) => expect(live.buffer.byteLength).toBe(32));
  });

  test('equals compares contents', () => {
    const a = SecretBytes.from('dek', bytes());
    expect(a.equals(SecretBytes.from('dek', bytes()))).toBe(true);
    expect(a.equals(SecretBytes.from('dek', bytes().fill(1, 31)))).toBe(false);
    expect(a.equals(SecretBytes.from('dek', bytes().subarray(1)))).toBe(false);
  });
});

describe('destruction', () => {
  test('zeroes, refuses use, and may be repeated', () => {
    const secret = SecretBytes.from('dek', bytes());
    const live = secret.expose((b) => b);
    secret.destroy();
    secret.destroy();
    expect(live).toEqual(new Uint8Array(32));
    expect(secret.destroyed).toBe(true);
    expect(codeOf(() => secret.expose((b) => b))).toBe('SECRET_DESTROYED');
    expect(codeOf(() => secret.equals(SecretBytes.random('dek', 32)))).toBe('SECRET_DESTROYED');
    expect(codeOf(() => SecretBytes.random('dek', 32).equals(secret))).toBe('SECRET_DESTROYED');
  });

  test('Symbol.dispose destroys', () => {
    const secret = SecretBytes.from('dek', bytes());
    secret[Symbol.dispose]();
    expect(secret.destroyed).toBe(true);
  });
});

describe('printing', () => {
  const secret = SecretBytes.from('dek', bytes());
  const printed: [string, string][] = [
    ['String', String(secret)],
    // oxlint-disable-next-line typescript/restrict-template-expressions -- what a careless log line does
    ['template', `${secret}`],
    ['concatenation', '' + secret],
    ['inspect', inspect(secret)],
    ['inspect nested', inspect({ deep: [{ secret }] }, { depth: null })],
    ['inspect all', inspect(secret, { showHidden: true, depth: null, customInspect: false, getters: true })],
    ['format %s', format('%s', secret)],
    ['format %o', format('%o', secret)],
    ['format %O', format('%O', secret)],
    ['format %j', format('%j', secret)],
    ['JSON', JSON.stringify({ secret })],
    ['entries', JSON.stringify(Object.entries(secret))],
    ['error', inspect(new Error('boom', { cause: secret }))],
    ['structuredClone', inspect(structuredClone(secret), { showHidden: true })],
    ['spread', inspect(Object.assign({}, secret), { showHidden: true })],
  ];

  test.each(printed)('%s shows no byte', (_, text) => {
    expect(text).not.toMatch(/a0|a1|160|161|bf|191/i);
  });

  test('is [SecretBytes]', () => {
    for (const text of [String(secret), inspect(secret), format('%s', secret)]) {
      expect(text).toBe('[SecretBytes]');
    }
    expect(printed.find(([name]) => name === 'template')?.[1]).toBe('[SecretBytes]');
    expect(JSON.stringify([secret])).toBe('["[SecretBytes]"]');
  });
});

test('a DEK where a root key is due is a type error', () => {
  const take = (root: SecretBytes<'root-key'>): string => root.kind;
  const dek = SecretBytes.random('dek', 32);
  // @ts-expect-error: 'dek' is not 'root-key'
  take(dek);
  expectTypeOf(dek).toEqualTypeOf<SecretBytes<'dek'>>();
  expectTypeOf(dek).not.toExtend<SecretBytes<'root-key'>>();
  expectTypeOf(dek).toExtend<SecretBytes<string>>();
});
