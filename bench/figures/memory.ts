// Memory of a server that has nothing else to do, over a long run of Encrypt calls.
import type { Figure } from '../figure.ts';
import { BUSY, type Generator } from '../generator.ts';
import { residentBytes } from '../process-usage.ts';
import type { Plan } from '../plan.ts';
import { encryptCall, HOT } from '../requests.ts';
import { database, startKms } from '../servers.ts';
import type { Stage } from '../stage.ts';

const MEBIBYTE = 1024 * 1024;

/** A server of its own: one that has served before has grown before. */
export async function memoryFigure(stage: Stage, generator: Generator, plan: Plan): Promise<Figure> {
  const kms = await startKms(stage, await database(stage));
  const call = encryptCall(HOT);
  const measured: { calls: number; mebibytes: number }[] = [];
  let calls = 0;
  for (const milestone of plan.memoryMilestones) {
    await generator.run(kms.port, call, BUSY, milestone - calls);
    calls = milestone;
    measured.push({ calls, mebibytes: residentBytes(kms.pid) / MEBIBYTE });
  }
  const { encryptionCount } = await kms.minikms.kms.getKeyInfo(HOT);
  if (Number(encryptionCount) !== calls)
    throw new Error(`the server counted ${encryptionCount} of ${calls} encryptions`);
  await kms.stop();

  const [first, last] = [measured[0], measured.at(-1)];
  if (first === undefined || last === undefined) throw new Error('no milestone');
  return {
    name: `memory after ${last.calls.toLocaleString('en')} calls, against ${first.calls.toLocaleString('en')}`,
    unit: 'MiB',
    ours: last.mebibytes,
    baseline: first.mebibytes,
    ratio: last.mebibytes / first.mebibytes,
    // What grows with the calls would have multiplied; a heap settles within a fifth.
    target: { is: 'at most', of: 1.2 },
    details: { measured, bytesACall: slope(measured) * MEBIBYTE },
  };
}

/** Least squares, in MiB a call. */
function slope(points: readonly { readonly calls: number; readonly mebibytes: number }[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const x = mean(points.map(({ calls }) => calls));
  const y = mean(points.map(({ mebibytes }) => mebibytes));
  const covariance = mean(points.map(({ calls, mebibytes }) => (calls - x) * (mebibytes - y)));
  return covariance / mean(points.map(({ calls }) => (calls - x) ** 2));
}
