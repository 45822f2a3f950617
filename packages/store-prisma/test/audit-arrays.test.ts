import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bigints, byteas, integers, texts } from '../src/array-parameter.ts';
import { database, type Database } from './fixture.ts';

let db: Database;
let client: Client;

beforeAll(async () => {
  db = await database(true);
  client = new Client({ connectionString: db.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await db.drop();
});

const MAX = Number.MAX_SAFE_INTEGER;

// What the driver itself makes of the values is the measure.
it.each([
  [
    'text[]',
    texts,
    ['', 'a', 'NULL', '{"quoted":"\\"\\\\ {},"}', ' \n\t\u0001\u007f', 'é€日本👩‍🔧\ufeff', 'x'.repeat(70_000)],
  ],
  ['bytea[]', byteas, [new Uint8Array(), new Uint8Array(32), Uint8Array.of(0, 255, 92, 39), new Uint8Array(70_000)]],
  ['bigint[]', bigints, [0, 1, -1, 2 ** 31, 2 ** 32, -(2 ** 32), 2 ** 32 - 1, 1_767_225_600_000_000, MAX, -MAX]],
  ['integer[]', integers, [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]],
] as const)('%s says what the driver would have said', async (type, encode, values) => {
  const compare = `SELECT $1::${type} = $2::${type} AS same, cardinality($1::${type}) AS length`;
  for (const some of [values, values.slice(0, 1), []]) {
    const { rows } = await client.query(compare, [(encode as (v: readonly unknown[]) => Buffer)(some), [...some]]);
    expect(rows).toEqual([{ same: true, length: some.length }]);
  }
});
