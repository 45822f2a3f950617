import type { ClientConfig } from 'pg';

/** How long a caller waits for a connection, be it a new one or one of a busy pool, in milliseconds. */
export const CONNECT_MS = 2_000;
/** How many callers wait at once; one more is refused, so that a queue that nobody survives does not grow without end. */
export const MOST_WAITING = 5_000;
/** When PostgreSQL itself stops a statement, in milliseconds. */
const STATEMENT_MS = 5_000;
/** When the driver gives up on an answer: after the server had its chance to say why, in milliseconds. */
const QUERY_MS = STATEMENT_MS + 1_000;

/** A connection string and the schema that it names. */
export interface Target {
  readonly config: ClientConfig;
  readonly schema: string;
}

/**
 * The driver's settings for a `postgresql://` URL. `?schema=` (default `public`) is read as Prisma reads it, and becomes
 * the search path so that raw SQL and the Prisma client reach the same tables.
 *
 * `timed: false` leaves out the statement timeouts, for migrations; `settings` are more `name=value` of the session.
 */
export function target(url: string, timed = true, settings: readonly string[] = []): Target {
  const at = url.indexOf('?');
  const parameters = new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
  const schema = parameters.get('schema') ?? 'public';
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(schema))
    throw new Error('the schema in the database URL is not a plain name');
  const session = [
    // Prisma's adapter reads and writes timestamptz without its offset: right in UTC only.
    '-c TimeZone=UTC',
    `-c search_path="${schema}"`,
    // Statements expect to see what committed while they waited for a row.
    String.raw`-c default_transaction_isolation=read\ committed`,
    // What was answered is on disk, whatever the default of the role or the database. See `ping` for the URL's own.
    '-c synchronous_commit=on',
    ...(timed ? [`-c statement_timeout=${STATEMENT_MS}`] : []),
    ...settings.map((setting) => `-c ${setting}`),
    // What the URL asks for comes last and wins.
    ...parameters.getAll('options'),
  ];
  parameters.set('options', session.join(' '));
  return {
    schema,
    config: {
      connectionString: `${at < 0 ? url : url.slice(0, at)}?${parameters.toString()}`,
      fallback_application_name: 'minikms',
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      ...(timed ? { query_timeout: QUERY_MS } : {}),
    },
  };
}
