import pg from 'pg';
import { expect, test } from 'vitest';
import { testDatabase } from '../src/index.ts';

test('hands out empty databases of their own and drops them, connections or not', async () => {
  const [one, two] = await Promise.all([testDatabase(), testDatabase()]);
  expect(one.url).not.toBe(two.url);
  const client = new pg.Client(one.url);
  client.on('error', () => undefined);
  await client.connect();
  const { rowCount } = await client.query("SELECT FROM pg_tables WHERE schemaname = 'public'");
  expect(rowCount).toBe(0);
  await one.drop();
  await one.drop();
  await expect(client.query('SELECT 1')).rejects.toThrow();
  await two.drop();
  await expect(new pg.Client(two.url).connect()).rejects.toThrow('does not exist');
});
