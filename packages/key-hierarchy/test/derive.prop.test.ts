import { toHex } from '@minikms/crypto-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tenantMasterKey } from '../src/derive.ts';
import { codeOf, rootOf } from './cases.ts';
import { tenantIds } from './arbitraries.ts';

const root = rootOf();
const key = (tenant: string, generation: number): string => tenantMasterKey(root, tenant, generation).expose(toHex);
const generations = fc.oneof(fc.constantFrom(0, 1, 2, 0x2d2d_2d2d, 0x6161_6161), fc.nat());

test('two tenants or generations never share a master key', () => {
  fc.assert(
    fc.property(tenantIds, generations, tenantIds, generations, (a, g, b, k) => {
      expect(key(a, g) === key(b, k)).toBe(a === b && g === k);
    }),
  );
});

test('no tenant id makes the info of another generation: none holds NUL', () => {
  // Such an id would collide if the rule let it through; generation 1 of "acme" is the info "acme" 00 00000001.
  expect(key('acme\0\0\0\0\u0001', 0)).toBe(key('acme', 1));
  fc.assert(
    fc.property(tenantIds, fc.nat(), (tenant, generation) => {
      expect(tenant).not.toContain('\0');
      expect(codeOf(() => key(tenant, generation))).toBe('returned');
    }),
  );
});
