// One tenant that everybody uses, over four servers with one database: they write its log in turn.
import { entriesOf } from '../audit-log.ts';
import type { Figure } from '../figure.ts';
import type { Generator, Run, Shape } from '../generator.ts';
import type { Plan } from '../plan.ts';
import { encryptCall, HOT } from '../requests.ts';
import { quantile } from '../rounds.ts';
import { database, type KmsTarget, newRootKey, startKms } from '../servers.ts';
import type { Stage } from '../stage.ts';

const REPLICAS = 4;
/** Of each replica. */
const SHAPE: Shape = { connections: 4, streams: 4 };
const TRIAL = 400;

export async function replicasFigures(stage: Stage, generator: Generator, plan: Plan): Promise<Figure[]> {
  const dbUrl = await database(stage);
  const rootKeyFile = newRootKey(stage);
  const replicas: KmsTarget[] = [];
  for (let i = 0; i < REPLICAS; i++) replicas.push(await startKms(stage, dbUrl, { rootKeyFile }));
  const call = encryptCall(HOT);
  const run = async (requests: number): Promise<readonly Run[]> =>
    Promise.all(replicas.map(async ({ port }) => generator.run(port, call, SHAPE, requests, true)));

  await run(TRIAL);
  const trial = slowest(await run(TRIAL));
  const requests = Math.ceil((TRIAL / trial) * plan.seconds * 2);
  const runs = await run(requests);
  await check(replicas, dbUrl, REPLICAS * (2 * TRIAL + requests));
  for (const replica of replicas) await replica.stop();

  const latencies = runs.flatMap((one) => one.latencies).toSorted((a, b) => a - b);
  const [p50, p99] = [quantile(latencies, 0.5), quantile(latencies, 0.99)];
  const took = runs.map(({ seconds }) => seconds);
  const each = runs.map((one) => quantile(one.latencies, 0.99).toFixed(0)).join(', ');
  const remarks = [
    `${REPLICAS} × ${SHAPE.connections * SHAPE.streams} in flight; its chain verifies; the same number of calls took ` +
      `${Math.min(...took).toFixed(2)} to ${Math.max(...took).toFixed(2)} s; p99 of each replica ${each} ms, ` +
      `longest ${(latencies.at(-1) ?? Number.NaN).toFixed(0)} ms`,
  ];
  const details = { requests, seconds: took, p99: runs.map((one) => quantile(one.latencies, 0.99)) };
  return [
    {
      name: 'one tenant over four replicas, p99 against p50',
      unit: 'ms',
      ours: p99,
      baseline: p50,
      ratio: p99 / p50,
      target: { is: 'at most', of: 10 },
      details: { ...details, remarks },
    },
    { name: 'the same, all replicas', unit: 'entries/s', ours: (REPLICAS * requests) / slowest(runs), details },
  ];
}

function slowest(runs: readonly Run[]): number {
  return Math.max(...runs.map(({ seconds }) => seconds));
}

/** @throws Error unless every call has its entry and the chain verifies. */
async function check(replicas: readonly KmsTarget[], dbUrl: string, calls: number): Promise<void> {
  const entries = await entriesOf(dbUrl, HOT.tenantId, 'kms.encrypt');
  if (entries !== calls) throw new Error(`${calls} calls over ${REPLICAS} servers left ${entries} entries`);
  const verified = await replicas[0]?.minikms.audit.verifyChain({ orgId: HOT.tenantId }, { deadlineMs: 120_000 });
  if (verified?.valid !== true || Number(verified.entriesChecked) < calls) {
    throw new Error(`the chain of ${entries} entries does not verify: ${verified?.reason}`);
  }
}
