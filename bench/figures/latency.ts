// How long a call takes when there is no other: one connection, one call at a time.
import type { Figure } from '../figure.ts';
import { ALONE, type Generator } from '../generator.ts';
import type { Plan } from '../plan.ts';
import { encryptCall, HOT } from '../requests.ts';
import { median, quantile } from '../rounds.ts';
import type { KmsTarget, Target } from '../servers.ts';

const SHARES = { p50: 0.5, p99: 0.99 };

export async function latencyFigures(
  generator: Generator,
  kms: KmsTarget,
  echo: Target,
  plan: Plan,
): Promise<Figure[]> {
  const call = encryptCall(HOT);
  const measure = async (target: Target): Promise<readonly number[]> =>
    (await generator.run(target.port, call, ALONE, plan.latencyCalls, true)).latencies;
  const seen: { ours: readonly number[]; bare: readonly number[] }[] = [];
  for (let round = 0; round < plan.rounds; round++) {
    const bare = await measure(echo);
    seen.push({ bare, ours: await measure(kms) });
  }
  return Object.entries(SHARES).map(([label, share]) => {
    const ours = median(seen.map((round) => quantile(round.ours, share)));
    const baseline = median(seen.map((round) => quantile(round.bare, share)));
    const ratio = median(seen.map((round) => quantile(round.ours, share) / quantile(round.bare, share)));
    const details = { rounds: plan.rounds, callsARound: plan.latencyCalls };
    return { name: `latency of Encrypt alone, ${label}`, unit: 'ms', ours, baseline, ratio, details };
  });
}
