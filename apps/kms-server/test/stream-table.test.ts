import { once } from 'node:events';
import { type ClientHttp2Session, connect, createServer, type Http2Server, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { StreamTable, useStreamTable, useStreamTables } from '../src/rpc/stream-table.ts';

const ends: (() => void)[] = [];
afterEach(() => ends.splice(0).forEach((end) => end()));

test('holds what a Map holds', () => {
  // Few slots' worth of ids, and others that share their slots.
  const id = fc.oneof(fc.nat(8), fc.constantFrom(1023, 1024, 1025, 1027, 2049, 4097, 2 ** 31 - 1));
  const step = fc.record({ what: fc.constantFrom('set', 'set', 'set', 'delete', 'clear'), id, value: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const model = new Map<number, number>();
      const table = new StreamTable<number>();
      const sorted = (of: Iterable<[number, number]>): unknown => [...of].toSorted(([a], [b]) => a - b);
      for (const { what, id: key, value } of steps) {
        if (what === 'set') {
          expect(table.set(key, value)).toBe(table);
          model.set(key, value);
        } else if (what === 'delete') expect(table.delete(key)).toBe(model.delete(key));
        else {
          table.clear();
          model.clear();
        }
        expect(table.size).toBe(model.size);
        expect([table.get(key), table.has(key)]).toEqual([model.get(key), model.has(key)]);
        expect(sorted(table)).toEqual(sorted(model));
        expect(new Set(table.keys())).toEqual(new Set(model.keys()));
        expect(new Set(table.values())).toEqual(new Set(model.values()));
        const seen: [number, number][] = [];
        table.forEach((one, at) => seen.push([at, one]));
        expect(sorted(seen)).toEqual(sorted(model));
      }
    }),
  );
});

async function serve(): Promise<{
  server: Http2Server;
  session: Promise<ServerHttp2Session>;
  client: ClientHttp2Session;
}> {
  const server = createServer();
  useStreamTables(server);
  const session = once(server, 'session').then(([one]) => one as ServerHttp2Session);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  ends.push(
    () => client.destroy(),
    () => server.close(),
  );
  return { server, session, client };
}

/** What the connection keeps its streams in. */
function table(session: object): unknown {
  const symbol = Object.getOwnPropertySymbols(session).find(({ description }) => description === 'state');
  return symbol && (session as Record<symbol, { streams: unknown }>)[symbol]?.streams;
}

test('a connection with more open streams than slots answers all of them, and is empty after', async () => {
  const { server, session, client } = await serve();
  const waiting: (() => void)[] = [];
  server.on('stream', (stream) => {
    waiting.push(() => stream.end('answer'));
    if (waiting.length === 700) waiting.splice(0).forEach((answer) => answer());
  });
  const open = table(await session) as Map<number, unknown>;
  expect(open).toBeInstanceOf(StreamTable);
  const answers = Array.from({ length: 700 }, async () => {
    const chunks: string[] = [];
    for await (const chunk of client.request({ ':path': '/' }).setEncoding('utf8')) chunks.push(String(chunk));
    return chunks.join('');
  });
  expect(new Set(await Promise.all(answers))).toEqual(new Set(['answer']));
  await expect.poll(() => open.size).toBe(0);
});

test('ending a connection ends each of its streams', async () => {
  const { server, session, client } = await serve();
  const streams: Promise<unknown>[] = [];
  server.on('stream', (stream) => streams.push(once(stream, 'close')));
  for (let i = 0; i < 5; i++) client.request({ ':path': '/' }).on('error', () => undefined);
  await expect.poll(() => streams.length).toBe(5);
  (await session).destroy();
  await Promise.all(streams);
});

test('a connection of another make keeps what it has', () => {
  expect(useStreamTable({} as ServerHttp2Session)).toBe(false);
});

test('grpc-js keeps the servers under it where the server looks for them', async () => {
  const server = new Server();
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  ends.push(() => server.forceShutdown());
  const { http2Servers } = server as unknown as { http2Servers: ReadonlyMap<Http2Server, unknown> };
  expect([...http2Servers.keys()].map((one) => (one.address() as AddressInfo).port)).toEqual([port]);
});
