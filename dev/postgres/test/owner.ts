// A program that owns a server, for the tests that kill it: `owner.ts <directory>` prints pid and URL as JSON and waits.
// At SIGINT it asks the server something, prints the answer and only then stops it.
import pg from 'pg';
import { startPostgres } from '../src/index.ts';

const directory = process.argv[2];
if (directory === undefined) throw new Error('usage: owner.ts <directory>');
const server = await startPostgres({ directory, durable: false });
const waiting = setInterval(() => undefined, 60_000);
process.once('SIGINT', () => {
  void (async () => {
    const client = new pg.Client(server.url);
    await client.connect();
    const { rows } = await client.query<{ answer: number }>('SELECT 42 AS answer');
    await client.end();
    console.log(JSON.stringify(rows[0]));
    await server.stop();
    clearInterval(waiting);
  })();
});
console.log(JSON.stringify({ pid: server.pid, url: server.url }));
