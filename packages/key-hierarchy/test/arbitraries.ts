import fc from 'fast-check';

const ALPHANUMERIC = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'.split('');
const OTHERS = '._:@/-'.split('');

/** Ids that the rule accepts. */
export const tenantIds: fc.Arbitrary<string> = fc
  .tuple(
    fc.constantFrom(...ALPHANUMERIC),
    fc.string({ unit: fc.constantFrom(...ALPHANUMERIC, ...OTHERS), maxLength: 127 }),
  )
  .map(([first, rest]) => first + rest)
  .filter((id) => !id.includes('..') && !id.includes('//'));
