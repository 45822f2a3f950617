export { startPostgres } from './start.ts';
export type { Postgres, StartOptions } from './start.ts';
export { testDatabase } from './test-database.ts';
export type { TestDatabase } from './test-database.ts';
