import { expect, it } from 'vitest';
import * as store from '../src/index.ts';

it('exports these names and no others', () => {
  expect(Object.keys(store).toSorted()).toEqual(['StoreError', 'migrate', 'openStore', 'pendingMigrations']);
});

it('sets no global', () => {
  expect(globalThis).not.toHaveProperty('__dirname');
});
