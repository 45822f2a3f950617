import { Client, credentials } from '@grpc/grpc-js';
import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { health } from './health.ts';
import { serve, type TestServer } from './server.ts';

let database: Awaited<ReturnType<typeof testDatabase>>;
let server: TestServer;
beforeAll(async () => {
  database = await testDatabase();
  server = await serve({ MINIKMS_DB_URL: database.url });
});
afterAll(async () => {
  await server.stop();
  await database.drop();
});

describe('grpc.health.v1', () => {
  it.each(['', 'minikms.v1.KMSService'])('answers SERVING for "%s", without credentials', async (name) => {
    expect(await health(server.port, name)).toBe('SERVING');
  });
});

describe('reflection', () => {
  it('lists the services in development mode', async () => {
    const client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
    // ServerReflectionRequest{list_services = 7: ""}
    const same = (value: Buffer): Buffer => value;
    const stream = client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      same,
      same,
    );
    const answer = await new Promise<Buffer>((resolve, reject) => {
      stream.on('data', resolve);
      stream.on('error', reject);
      stream.write(Buffer.of(0x3a, 0x00));
    });
    expect(answer.toString('latin1')).toContain('minikms.v1.KMSService');
    stream.end();
    client.close();
  });
});
