import { startTestServer, testServer } from './test-database.ts';

/** Vitest's global setup: one server for the whole run. Workers are started afterwards and inherit the environment. */
export default async function setup(): Promise<(() => Promise<void>) | undefined> {
  if (testServer() !== undefined) return undefined;
  const server = await startTestServer();
  process.env['MINIKMS_TEST_PG_URL'] = server.url;
  return async () => {
    delete process.env['MINIKMS_TEST_PG_URL'];
    await server.stop();
  };
}
