// Where the figures were taken: they mean nothing without it.
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import pg from 'pg';

export interface Machine {
  readonly date: string;
  readonly command: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly node: string;
  readonly postgresql: string;
  /** Whether PostgreSQL waits for the disk: `on`, unless somebody turned it off. */
  readonly fsync: string;
  readonly generator: string;
}

export async function describeMachine(dbUrl: string, generator: string, args: readonly string[]): Promise<Machine> {
  const client = new pg.Client(dbUrl);
  await client.connect();
  try {
    const { rows } = await client.query<{ version: string; fsync: string }>(
      "SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync",
    );
    return {
      date: new Date().toISOString(),
      command: ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' '),
      processor: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      system: `${process.platform} ${process.arch} ${release()}`,
      node: process.version,
      postgresql: rows[0]?.version ?? 'unknown',
      fsync: rows[0]?.fsync ?? 'unknown',
      generator,
    };
  } finally {
    await client.end();
  }
}
