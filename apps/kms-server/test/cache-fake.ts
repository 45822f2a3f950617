import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';

type Answer = (command: string[], socket: Socket) => void;

/** A Redis on loopback that answers what the test wants. */
export interface FakeRedis {
  readonly url: string;
  readonly port: number;
  readonly commands: string[][];
  /** Connections that were ever accepted. */
  connections: number;
  readonly open: Set<Socket>;
  answer: Answer;
  close(): void;
}

/** Answers as a Redis with one value for every name. */
export const healthy: Answer = ([name, argument], socket) => {
  const answers: Record<string, string> = {
    GET: '$5\r\nvalue\r\n',
    SET: '+OK\r\n',
    DEL: ':1\r\n',
    PUBLISH: ':1\r\n',
    PING: '+PONG\r\n',
    AUTH: '+OK\r\n',
    SELECT: '+OK\r\n',
    SUBSCRIBE: `*3\r\n$9\r\nsubscribe\r\n$${argument?.length}\r\n${argument}\r\n:1\r\n`,
  };
  socket.write(answers[name ?? ''] ?? '-ERR unknown command\r\n');
};

export async function fakeRedis(answer: Answer = healthy, tls?: TlsOptions): Promise<FakeRedis> {
  const accept = (socket: Socket): void => {
    fake.connections++;
    fake.open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => fake.open.delete(socket));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (let found = command(text); found !== undefined; found = command(text)) {
        text = found.rest;
        fake.commands.push(found.parts);
        fake.answer(found.parts, socket);
      }
    });
  };
  const server: Server = tls === undefined ? createServer(accept) : createTlsServer(tls, accept);
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const fake: FakeRedis = {
    url: `redis://127.0.0.1:${address.port}`,
    port: address.port,
    commands: [],
    connections: 0,
    open: new Set(),
    answer,
    close() {
      server.close();
      for (const socket of fake.open) socket.destroy();
    },
  };
  return fake;
}

function command(text: string): { parts: string[]; rest: string } | undefined {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return undefined;
  let rest = text.slice(head[0].length);
  const parts: string[] = [];
  for (let i = 0; i < Number(head[1]); i++) {
    const length = /^\$(\d+)\r\n/.exec(rest);
    if (length === null) return undefined;
    const start = length[0].length;
    const end = start + Number(length[1]);
    if (rest.length < end + 2) return undefined;
    parts.push(rest.slice(start, end));
    rest = rest.slice(end + 2);
  }
  return { parts, rest };
}
