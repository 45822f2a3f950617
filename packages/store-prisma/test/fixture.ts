import { randomBytes, randomUUID } from 'node:crypto';
import { testDatabase } from '@minikms/dev-postgres';
import type { NewKeyVersion } from '@minikms/key-hierarchy';
import { Client } from 'pg';
import { migrate, openStore, type Store, type StoreOptions } from '../src/index.ts';

/** The migrations as they are in the repository; tests run from src, which carries none. */
export const MIGRATIONS: URL = new URL('../../../prisma/migrations', import.meta.url);

export interface Database {
  readonly url: string;
  /** Opens a store that `drop` closes. */
  store(options?: Omit<StoreOptions, 'url'>): Promise<Store>;
  /** One statement on a connection of its own. */
  query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  /** Runs `sql` in a transaction that goes on until what this returns is called. */
  hold(sql: string): Promise<(end?: 'COMMIT' | 'ROLLBACK') => Promise<void>>;
  drop(): Promise<void>;
}

/** A fresh database, with miniKMS's tables unless `empty`. */
export async function database(empty = false): Promise<Database> {
  const made = await testDatabase();
  const { url } = made;
  if (!empty) await migrate(url, { directory: MIGRATIONS });
  const stores: Store[] = [];
  return {
    url,
    async store(options = {}) {
      const store = await openStore({ url, ...options });
      stores.push(store);
      return store;
    },
    query: (sql, values) => query(url, sql, values),
    async hold(sql) {
      const client = new Client({ connectionString: url });
      await client.connect();
      await client.query('BEGIN');
      await client.query(sql);
      return async (end = 'ROLLBACK') => {
        await client.query(end);
        await client.end();
      };
    },
    async drop() {
      await Promise.all(stores.map((store) => store.close()));
      await made.drop();
    },
  };
}

async function query(url: string, sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql, values)).rows;
  } finally {
    await client.end();
  }
}

export function newKey(given: Partial<NewKeyVersion> = {}): NewKeyVersion {
  return {
    tenantId: 'acme',
    scopeId: 'payments',
    id: randomUUID(),
    version: 1,
    wrappedDek: new Uint8Array(randomBytes(60)),
    rootKeyId: new Uint8Array(16).fill(1),
    saltId: new Uint8Array(16).fill(2),
    tenantKeyGeneration: 0,
    maxEncryptions: 1_000,
    ...given,
  };
}

/** `count` results of `work`, all under way at once. */
export function parallel<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => work(index)));
}
