import { expect, test } from 'vitest';
import * as devPostgres from '../src/index.ts';

test('exports', () => {
  expect(Object.keys(devPostgres).toSorted()).toEqual(['startPostgres', 'testDatabase']);
});
