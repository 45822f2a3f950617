// What the first Encrypt of a new scope costs the database, counted on the wire: its key, and its audit entry.
import type { Figure } from '../figure.ts';
import { AAD } from '../requests.ts';
import { startProxy } from '../round-trip-proxy.ts';
import { median } from '../rounds.ts';
import { database, startKms } from '../servers.ts';
import type { Stage } from '../stage.ts';

const CALLS = 50;

export async function roundTripFigures(stage: Stage): Promise<Figure[]> {
  const proxy = await startProxy(stage, await database(stage));
  const kms = await startKms(stage, proxy.url);
  const encrypt = (tenantId: string, scopeId: string) =>
    kms.minikms.kms.encrypt({ tenantId, scopeId, plaintext: Buffer.from('first'), aad: AAD });
  // Connections to the database are opened when they are first needed; that is not what is counted.
  for (let i = 0; i < 20; i++) {
    await encrypt('bench-new', `before-${i}`);
    await encrypt(`before-${i}`, 'first');
  }
  const trips = async (call: (i: number) => Promise<unknown>): Promise<readonly number[]> => {
    const counts: number[] = [];
    for (let i = 0; i < CALLS; i++) {
      const before = proxy.count();
      await call(i);
      counts.push(proxy.count() - before);
    }
    return counts;
  };
  const ofScope = await trips((i) => encrypt('bench-new', `new-${i}`));
  const ofTenant = await trips((i) => encrypt(`new-${i}`, 'first'));
  const before = proxy.count();
  const started = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const idleASecond = (proxy.count() - before) / ((performance.now() - started) / 1000);
  await kms.stop();
  const figure = (name: string, counts: readonly number[]): Figure => ({
    name,
    unit: 'trips',
    // The server polls for changes a few times a second, and some calls' count has caught one: the median has not.
    ours: median(counts),
    target: { is: 'at most', of: 3 },
    details: { calls: CALLS, least: Math.min(...counts), most: Math.max(...counts), idleASecond },
  });
  return [
    figure('first Encrypt of a scope: database round trips', ofScope),
    figure('first Encrypt of a tenant: database round trips', ofTenant),
  ];
}
