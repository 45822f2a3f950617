import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool, QueryResultRow } from 'pg';
import { MOST_WAITING } from './connection.ts';
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

/**
 * Runs one prepared statement in its own transaction, in one round trip. Throws as {@link attempt} does, and
 * `STORE_UNAVAILABLE` at once when too many callers wait for a connection.
 */
export function run<Row extends QueryResultRow>(
  pool: Pool,
  statement: Statement,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  return attempt(async () => {
    if (pool.waitingCount >= MOST_WAITING) throw unavailable(new Error('too many callers wait for a connection'));
    return (await pool.query<Row>({ ...statement, values: [...values] })).rows;
  });
}
