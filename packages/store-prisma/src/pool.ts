import { Pool } from 'pg';
import { target } from './connection.ts';

const IDLE_MS = 60_000;

export interface PoolOptions {
  readonly url: string;
  readonly maxConnections: number;
  /** Settings of its sessions, `name=value`, that the URL may override. */
  readonly settings?: readonly string[];
  readonly onError?: (error: Error) => void;
}

/** A pool that survives the loss of any of its connections at any moment, and of the whole server. */
export function openPool(options: PoolOptions): Pool {
  const { config } = target(options.url, true, options.settings);
  const pool = new Pool({ ...config, max: options.maxConnections, idleTimeoutMillis: IDLE_MS });
  // An 'error' event that nobody listens to ends the process. pg-pool listens while a connection is idle, and whoever
  // borrowed it while a query runs; between the two there is a moment when the server's last words ("terminating
  // connection"), arriving in one packet with an answer, would find nobody. Who uses the connection is told all the same.
  pool.on('connect', (client) => client.on('error', () => undefined));
  pool.on('error', (error) => {
    if (!pool.ending) options.onError?.(error);
  });
  return pool;
}
