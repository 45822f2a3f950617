import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface Proxy {
  /** The database as it is reached through the proxy. */
  readonly url: string;
  close(): Promise<void>;
}

/** A way to the database of `url` on which everything takes `ms` milliseconds longer, in either direction. */
export async function distant(url: string, ms: number): Promise<Proxy> {
  const through = new URL(url);
  const { hostname, port } = through;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(port || 5432), hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('data', (bytes) => setTimeout(() => to.writable && to.write(bytes), ms));
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        setTimeout(() => to.destroy(), ms);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  through.hostname = '127.0.0.1';
  through.port = String((server.address() as AddressInfo).port);
  return {
    url: through.href,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
