import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkId, checkKeyVersionId } from '../src/index.ts';
import { codeOf } from './cases.ts';
import { tenantIds } from './arbitraries.ts';

// Mostly what is allowed, so that many are accepted, mixed with what is not.
const nearly = fc.string({
  unit: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...'abZ09._:@/-'.split('')) },
    fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
  ),
  maxLength: 140,
});

test('what the rule describes is accepted', () => {
  fc.assert(
    fc.property(tenantIds, (id) => {
      expect(codeOf(() => checkId('tenant_id', id))).toBe('returned');
    }),
  );
});

test('what is accepted is ASCII without NUL, "..", "//" and control characters, and not ours', () => {
  let accepted = 0;
  fc.assert(
    fc.property(fc.oneof(nearly, fc.string({ unit: 'binary', maxLength: 140 }), tenantIds), (id) => {
      const code = codeOf(() => checkId('tenant_id', id));
      if (code !== 'returned') {
        expect(code).toBe('ID_INVALID');
        return;
      }
      accepted++;
      expect(id).toMatch(/^[\x21-\x7e]{1,128}$/);
      expect(id).not.toMatch(/\.\.|\/\/|^_|\0|\s/);
    }),
    { numRuns: 500 },
  );
  expect(accepted).toBeGreaterThan(100);
});

test('an id with any one character outside the rule is refused', () => {
  const foreign = fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }).filter((c) => !/[A-Za-z0-9._:@/-]/.test(c));
  fc.assert(
    fc.property(tenantIds, foreign, fc.nat(), (id, character, at) => {
      const where = at % (id.length + 1);
      expect(codeOf(() => checkId('tenant_id', id.slice(0, where) + character + id.slice(where)))).toBe('ID_INVALID');
    }),
  );
});

test('every UUID is accepted in either case and comes back in lower case', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.boolean(), (id, upper) => {
      expect(checkKeyVersionId('key_version_id', upper ? id.toUpperCase() : id)).toBe(id);
    }),
  );
});

test('nothing but a UUID is accepted', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      expect(codeOf(() => checkKeyVersionId('key_version_id', text))).toBe('ID_INVALID');
    }),
  );
});
