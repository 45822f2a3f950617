import { describe, expect, test } from 'vitest';
import { checkId, checkKeyVersionId, ID_RULE } from '../src/index.ts';
import { codeOf } from './cases.ts';

describe('a tenant or scope id', () => {
  test.each([
    'a',
    'Z',
    '0',
    'org-1',
    'org-1:app-1:env-1',
    'user@example.org',
    'a/b/c',
    'a._:@/-',
    'a.',
    'a/',
    'a.b.c',
    'a./.b',
    'COM1',
    'a'.repeat(128),
  ])('may be %j', (id) => {
    expect(codeOf(() => checkId('tenant_id', id))).toBe('returned');
  });

  test.each([
    ['', 'empty'],
    ['a'.repeat(129), '129 characters'],
    ['_system', 'ours'],
    ['_', 'ours'],
    ['.a', 'first character'],
    ['-a', 'first character'],
    [':a', 'first character'],
    ['/a', 'first character'],
    ['@a', 'first character'],
    ['..', 'parent'],
    ['a..', 'parent'],
    ['a..b', 'parent'],
    ['a/../b', 'parent'],
    ['a...b', 'parent'],
    ['a//b', 'empty part'],
    ['a//', 'empty part'],
    ['a///b', 'empty part'],
    ['a\0', 'NUL'],
    ['\0a', 'NUL'],
    ['a\0b', 'NUL'],
    ['a\n', 'trailing newline'],
    ['a\r\n', 'trailing newline'],
    ['\na', 'leading newline'],
    ['a\nb', 'newline'],
    ['a\u2028', 'line separator'],
    ['a b', 'space'],
    [' a', 'space'],
    ['a ', 'space'],
    ['a\t', 'tab'],
    ['a\u00a0b', 'no-break space'],
    ['\ufeffa', 'byte order mark'],
    ['a\u200bb', 'zero width space'],
    ['\u0430cme', 'Cyrillic a'],
    ['acm\u0435', 'Cyrillic e'],
    ['\uff41cme', 'full-width a'],
    ['\uff0e\uff0e', 'full-width dots'],
    ['a\u2024\u2024b', 'one dot leaders'],
    ['a\u2215b', 'division slash'],
    ['a\uff0fb', 'full-width slash'],
    ['\u212aey', 'Kelvin sign'],
    ['\u0131d', 'dotless i'],
    ['\u017ftart', 'long s'],
    ['\u0661', 'Arabic-Indic digit one'],
    ['e\u0301', 'combining accent'],
    ['\u00e9', 'accent'],
    ['\ud800', 'lone surrogate'],
    ['a\udc00', 'lone surrogate'],
    ['\u{1d41a}', 'mathematical a'],
    ['a%2fb', 'percent'],
    ['a\\b', 'backslash'],
    ['a*', 'wildcard'],
    ['a?', 'question mark'],
    ['a+b', 'plus'],
    ['a,b', 'comma'],
    ['a;b', 'semicolon'],
    ["a'b", 'quote'],
    ['a"b', 'quote'],
    ['{a}', 'brace'],
    ['$a', 'dollar'],
  ])('is not %j: %s', (id) => {
    expect(codeOf(() => checkId('tenant_id', id))).toBe('ID_INVALID');
  });

  test('is refused with the field and the rule, not with its value', () => {
    expect(() => checkId('scope_id', '<script>')).toThrow(`scope_id must be ${ID_RULE}`);
    expect(() => checkId('scope_id', '<script>')).not.toThrow(/script>/);
  });
});

describe('a key version id', () => {
  const id = '01234567-89ab-4cde-8f01-23456789abcd';

  test.each([id, id.toUpperCase(), '01234567-89AB-4cde-8F01-23456789abcd'])('may be %s, in either case', (given) => {
    expect(checkKeyVersionId('key_version_id', given)).toBe(id);
  });

  test('may be a UUID of any version', () => {
    for (const any of ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff']) {
      expect(checkKeyVersionId('key_version_id', any)).toBe(any);
    }
  });

  test.each([
    '',
    id.slice(1),
    `${id}0`,
    `${id}\n`,
    ` ${id}`,
    `{${id}}`,
    `urn:uuid:${id}`,
    id.replaceAll('-', ''),
    id.replaceAll('-', '_'),
    id.replaceAll('-', '\u2010'),
    id.replace('a', 'g'),
    id.replace('a', '\u0430'),
    id.replace('0', '\uff10'),
    id.replace('0', '\0'),
  ])('is not %j', (given) => {
    expect(codeOf(() => checkKeyVersionId('key_version_id', given))).toBe('ID_INVALID');
  });
});
