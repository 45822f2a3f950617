// What the first Encrypt of a new scope costs the database, counted on the wire.
import type { Figure } from '../figure.ts';
import { AAD } from '../requests.ts';
import { startProxy } from '../round-trip-proxy.ts';
import { median } from '../rounds.ts';
import { database, startKms } from '../servers.ts';
import type { Stage } from '../stage.ts';

const SCOPES = 50;

export async function roundTripFigure(stage: Stage): Promise<Figure> {
  const proxy = await startProxy(stage, await database(stage));
  const kms = await startKms(stage, proxy.url);
  const encrypt = (scopeId: string) =>
    kms.minikms.kms.encrypt({ tenantId: 'bench-new', scopeId, plaintext: Buffer.from('first'), aad: AAD });
  // Connections to the database are opened when they are first needed; that is not what is counted.
  for (let i = 0; i < 20; i++) await encrypt(`before-${i}`);

  const counts: number[] = [];
  for (let i = 0; i < SCOPES; i++) {
    const before = proxy.count();
    await encrypt(`new-${i}`);
    counts.push(proxy.count() - before);
  }
  const before = proxy.count();
  const started = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const idleASecond = (proxy.count() - before) / ((performance.now() - started) / 1000);
  await kms.stop();
  return {
    name: 'first Encrypt of a scope: database round trips',
    unit: 'trips',
    // The server polls for changes a few times a second, and some scopes' count has caught one: the median has not.
    ours: median(counts),
    target: { is: 'at most', of: 3 },
    details: { scopes: SCOPES, least: Math.min(...counts), most: Math.max(...counts), idleASecond },
  };
}
