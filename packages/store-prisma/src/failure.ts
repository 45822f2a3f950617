import { KmsError } from '@minikms/crypto-core';

/**
 * What this package throws of its own; every other error of PostgreSQL or Prisma passes through unchanged.
 *
 * - `STORE_UNAVAILABLE`: the database cannot be reached, refuses connections or writes, or did not answer in time. What
 *   was asked may or may not have been done. Worth retrying.
 * - `STORE_MIGRATION_FAILED`: a migration failed now or earlier, was changed after it was applied, or the database holds
 *   tables of somebody else.
 * - `STORE_SCHEMA_MISMATCH`: the database has migrations that this build does not know.
 * - `STORE_MODE_MISMATCH`: the database is stamped with the other mode (development or production).
 * - `STORE_NOT_DURABLE`: the session's `synchronous_commit` answers before what it writes is on disk.
 */
export type StoreErrorCode =
  | 'STORE_UNAVAILABLE'
  | 'STORE_MIGRATION_FAILED'
  | 'STORE_SCHEMA_MISMATCH'
  | 'STORE_MODE_MISMATCH'
  | 'STORE_NOT_DURABLE';

/** A `KmsError` with one of this package's codes. The message names no host, no SQL and no value; `cause` may. */
export class StoreError extends KmsError<StoreErrorCode> {}

// https://www.postgresql.org/docs/current/errcodes-appendix.html; 08 and 53 as whole classes.
const OUTAGE_STATES = new Set(['25006', '25P03', '57014', '57P01', '57P02', '57P03', '57P05']);
const SOCKET_CODES =
  /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|E(HOST|NET)(UNREACH|DOWN)|EADDRNOTAVAIL|ENOTFOUND|EAI_AGAIN)$/;
// https://www.prisma.io/docs/orm/reference/error-reference; P2028 is an interactive transaction out of time.
const PRISMA_OUTAGES = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028', 'P2037']);
const ADAPTER_OUTAGES = new Set(['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout', 'TooManyConnections']);
// pg and pg-pool throw these without a code.
const DRIVER_MESSAGES =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error|Client was closed)/;
const CONFLICTS = new Set(['40001', '40P01', 'P2034', 'TransactionWriteConflict']);

/** What is thrown instead of `error`: `STORE_UNAVAILABLE` when it tells of an outage, else `error` itself. */
export function failure(error: unknown): unknown {
  if (error instanceof KmsError || !links(error).some(isOutage)) return error;
  return unavailable(error);
}

/** `STORE_UNAVAILABLE` with its cause. */
export function unavailable(cause: unknown): StoreError {
  return new StoreError('STORE_UNAVAILABLE', 'the database cannot be reached or did not answer in time', { cause });
}

/** True for a serialization failure or a deadlock: the transaction was rolled back and may be run again. */
export function isConflict(error: unknown): boolean {
  return links(error).some((link) => labels(link).some((label) => CONFLICTS.has(label)));
}

function isOutage(link: Readonly<Record<string, unknown>>): boolean {
  const message = link['message'];
  // Whatever its code: for a socket file that is not there it is ENOENT.
  if (link['syscall'] === 'connect') return true;
  if (typeof message === 'string' && DRIVER_MESSAGES.test(message)) return true;
  return labels(link).some(
    (label) =>
      /^(08|53)[0-9A-Z]{3}$/.test(label) ||
      OUTAGE_STATES.has(label) ||
      SOCKET_CODES.test(label) ||
      PRISMA_OUTAGES.has(label) ||
      ADAPTER_OUTAGES.has(label),
  );
}

/** The names an error goes by: pg and Prisma say `code`; the driver adapter says `kind` and `originalCode`. */
function labels(link: Readonly<Record<string, unknown>>): string[] {
  return [link['code'], link['originalCode'], link['kind']].filter((label) => typeof label === 'string');
}

/** The error, its causes and, for Prisma, what its driver adapter said; at most eight deep. */
function links(error: unknown): Readonly<Record<string, unknown>>[] {
  const found: Readonly<Record<string, unknown>>[] = [];
  const queue: unknown[] = [error];
  for (let next = queue.shift(); found.length < 8 && next !== undefined; next = queue.shift()) {
    if (typeof next !== 'object' || next === null) continue;
    const link = next as Readonly<Record<string, unknown>>;
    found.push(link);
    const meta = link['meta'];
    for (const further of [link['cause'], isRecord(meta) ? meta['driverAdapterError'] : undefined]) {
      if (isRecord(further)) queue.push(further);
    }
  }
  return found;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
