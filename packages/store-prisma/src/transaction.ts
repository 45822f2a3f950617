import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool, PoolClient, QueryResultRow } from 'pg';
import { failure, isConflict, unavailable } from './failure.ts';

const RETRIES = 5;

/**
 * Runs `work`, and again up to five times while it ends in a serialization failure or a deadlock: the one place where
 * conflicts are retried and errors are told apart. Throws `STORE_UNAVAILABLE` after that, and for every outage.
 */
export async function attempt<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!isConflict(error)) throw failure(error);
      if (tries === RETRIES) throw unavailable(error);
      // Jitter, so that the servers that collided do not do so again: 0–10 ms at first, 0–160 ms at last.
      await sleep(randomInt(10 * 2 ** tries + 1));
    }
  }
}

/** A statement that each connection prepares once, under its name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Runs one prepared statement in its own transaction, in one round trip. Throws as {@link attempt} does. */
export function run<Row extends QueryResultRow>(
  pool: Pool,
  statement: Statement,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  return attempt(async () => (await pool.query<Row>({ ...statement, values: [...values] })).rows);
}

/**
 * Runs `work` in one READ COMMITTED transaction on one connection: commits what it returns, rolls back when it throws.
 * `work` runs again after a conflict, so it must do nothing but talk to the database. Throws as {@link attempt} does; a
 * connection lost at COMMIT is `STORE_UNAVAILABLE` too, whatever came of the transaction.
 */
export function transaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  return attempt(async () => {
    const client = await pool.connect();
    let broken = true;
    try {
      await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
      const result = await work(client);
      const { command } = await client.query('COMMIT');
      // PostgreSQL answers COMMIT of an aborted transaction with ROLLBACK and no error.
      if (command !== 'COMMIT') throw new Error(`COMMIT was answered with ${command}`);
      broken = false;
      return result;
    } catch (error) {
      // After an outage a ROLLBACK would only wait for the next timeout; closing the connection rolls back as well.
      broken =
        failure(error) !== error ||
        (await client.query('ROLLBACK').then(
          () => false,
          () => true,
        ));
      throw error;
    } finally {
      client.release(broken);
    }
  });
}
