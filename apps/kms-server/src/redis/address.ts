/** Where a Redis is and how to log in to it. */
export interface RedisAddress {
  readonly tls: boolean;
  readonly host: string;
  readonly port: number;
  /** What AUTH is given: nothing, a password, or a user and a password. */
  readonly auth: readonly string[];
  readonly database: number;
}

/** Reads `redis[s]://[[user]:password@]host[:port][/database]`. @throws TypeError naming no part of the URL. */
export function redisAddress(text: string): RedisAddress {
  const url = new URL(text);
  const database = url.pathname.replace(/^\//, '');
  if (!/^[0-9]{0,5}$/.test(database)) throw new TypeError('the path of the Redis URL must be the number of a database');
  const [user, password] = [decoded(url.username), decoded(url.password)];
  return {
    tls: url.protocol === 'rediss:',
    host: url.hostname.replace(/^\[(.*)\]$/, '$1') || 'localhost',
    port: url.port === '' ? 6379 : Number(url.port),
    auth: password === '' ? [] : user === '' ? [password] : [user, password],
    database: Number(database),
  };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
