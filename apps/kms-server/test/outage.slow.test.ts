import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { startPostgres } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { health } from './health.ts';
import { serve, type TestServer } from './server.ts';

type Postgres = Awaited<ReturnType<typeof startPostgres>>;

/** A port that stays while the database behind it comes and goes. */
function forwarder(target: () => number): Promise<Server> {
  const server = createServer((client: Socket) => {
    const upstream = dial(target(), '127.0.0.1');
    client.pipe(upstream).pipe(client);
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    client.on('error', end).on('close', end);
    upstream.on('error', end).on('close', end);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

describe('killing PostgreSQL under load', () => {
  let directory: string;
  let postgres: Postgres;
  let proxy: Server;
  let server: TestServer;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'minikms-outage-'));
    postgres = await startPostgres({ directory, durable: true });
    proxy = await forwarder(() => Number(new URL(postgres.url).port));
    const address = proxy.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const url = new URL(postgres.url);
    url.port = String(address.port);
    server = await serve({ MINIKMS_DB_URL: url.href });
  });
  afterAll(async () => {
    await server.stop();
    proxy.close();
    await postgres.stop();
    await rm(directory, { recursive: true, force: true });
  });

  it('gives UNAVAILABLE within seconds, and recovers by itself; nothing answered is lost', async () => {
    const { kms } = server.client;
    const sealed: { scope: { tenantId: string; scopeId: string }; ciphertext: Buffer; value: string }[] = [];
    const refused = new Set<number>();
    let running = true;
    let successes = 0;
    const workers = Array.from({ length: 8 }, async (_, worker) => {
      for (let i = 0; running; i++) {
        // New scopes too: these need the database every time.
        const scope = { tenantId: 'acme', scopeId: i % 5 === 0 ? `new-${worker}-${i}` : 'warm' };
        const value = `${worker}-${i}`;
        try {
          const { ciphertext } = await kms.encrypt({ ...scope, plaintext: Buffer.from(value) });
          sealed.push({ scope, ciphertext, value });
          successes++;
        } catch (error) {
          refused.add((error as { grpcStatus: number }).grpcStatus);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    });
    await expect.poll(() => successes, { timeout: 30_000 }).toBeGreaterThan(200);
    process.kill(postgres.pid, 'SIGKILL');
    await expect.poll(() => refused.has(status.UNAVAILABLE), { timeout: 30_000 }).toBe(true);
    // Also on a warm key: without the database nobody can know what changed.
    await expect
      .poll(
        () =>
          kms.encrypt({ tenantId: 'acme', scopeId: 'warm' }).then(
            () => 'answered',
            (error: unknown) => (error as { code: string }).code,
          ),
        {
          timeout: 30_000,
        },
      )
      .toBe('STORE_UNAVAILABLE');
    await expect.poll(() => health(server.port), { timeout: 30_000 }).toBe('NOT_SERVING');
    await postgres.stop();
    postgres = await startPostgres({ directory, durable: true });
    const before = successes;
    await expect.poll(() => successes, { timeout: 60_000 }).toBeGreaterThan(before + 200);
    running = false;
    await Promise.all(workers);
    expect(await health(server.port)).toBe('SERVING');
    expect([...refused]).toEqual([status.UNAVAILABLE]);
    for (const { scope, ciphertext, value } of sealed) {
      expect((await kms.decrypt({ ...scope, ciphertext })).plaintext.toString()).toBe(value);
    }
    expect(server.output()).toContain('the database does not answer');
  });
});
