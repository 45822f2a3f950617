import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A way to a database that can be cut where it hurts. */
export interface Cutter {
  /** The database as it is reached over it. */
  readonly url: string;
  /**
   * Loses the next connection that is used: with the `question`, which the database does not get, or with the `answer`,
   * when the database has done what it was asked to.
   */
  cut(what: 'question' | 'answer'): void;
  /** Whether that has happened. */
  readonly isCut: boolean;
  /** Loses every connection, of which the database is not told, and lets no other through until `up`. */
  down(): void;
  up(): void;
  close(): Promise<void>;
}

export async function cutter(url: string): Promise<Cutter> {
  const over = new URL(url);
  const { hostname, port } = over;
  const near = new Set<Socket>();
  const far = new Set<Socket>();
  let cut: 'question' | 'answer' | undefined;
  let isCut = false;
  let isDown = false;

  const server = createServer((client) => {
    client.on('error', () => undefined);
    if (isDown) {
      client.destroy();
      return;
    }
    const database = connect(Number(port || 5432), hostname);
    database.on('error', () => undefined);
    near.add(client);
    far.add(database);
    const lose = (what: 'question' | 'answer'): boolean => {
      if (cut !== what) return client.destroyed;
      cut = undefined;
      isCut = true;
      client.destroy();
      return true;
    };
    client.on('data', (bytes) => lose('question') || database.write(bytes));
    database.on('data', (bytes) => lose('answer') || client.write(bytes));
    client.on('end', () => database.end());
    database.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  over.hostname = '127.0.0.1';
  over.port = String((server.address() as AddressInfo).port);
  return {
    url: over.href,
    cut(what) {
      cut = what;
      isCut = false;
    },
    get isCut() {
      return isCut;
    },
    down() {
      isDown = true;
      for (const socket of near) socket.destroy();
    },
    up() {
      isDown = false;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of [...near, ...far]) socket.destroy();
      }),
  };
}
