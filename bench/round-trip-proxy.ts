// Stands between a server and PostgreSQL and counts round trips as they go by: each Sync and each simple Query is a
// point at which the client waits for an answer (PostgreSQL documentation, "Message Flow").
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Stage } from './stage.ts';

const QUERY = 'Q'.charCodeAt(0);
const SYNC = 'S'.charCodeAt(0);
const SSL_REQUEST = 80_877_103;

export interface RoundTripProxy {
  /** The database, through here. */
  readonly url: string;
  /** Round trips so far. */
  count(): number;
}

export async function startProxy(stage: Stage, dbUrl: string): Promise<RoundTripProxy> {
  const target = new URL(dbUrl);
  let trips = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    for (const socket of [client, upstream]) {
      // Nagle's algorithm would add waits that are not there without a proxy.
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.once('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
      socket.on('error', () => undefined);
    }
    const seen = messageTypes((type) => {
      if (type === SYNC || type === QUERY) trips++;
    });
    client.on('data', seen);
    client.pipe(upstream);
    upstream.pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stage.atEnd(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  const url = new URL(dbUrl);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url: url.href, count: () => trips };
}

/** Splits a client's bytes into messages, however they were cut into pieces, and tells the type of each. */
function messageTypes(onMessage: (type: number) => void): (piece: Buffer) => void {
  let pending: Buffer = Buffer.alloc(0);
  let started = false;
  return (piece) => {
    pending = pending.length === 0 ? piece : Buffer.concat([pending, piece]);
    for (;;) {
      // The first messages of a connection have no type; every length counts its own four bytes.
      const at = started ? 1 : 0;
      if (pending.length < at + 4) return;
      const size = at + pending.readUInt32BE(at);
      if (pending.length < Math.max(size, 8 - 3 * at)) return;
      if (started) onMessage(pending[0] as number);
      else started = pending.readUInt32BE(4) !== SSL_REQUEST;
      pending = pending.subarray(size);
    }
  };
}
