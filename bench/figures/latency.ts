// How long a call takes when there is no other: one connection, one call at a time; and what of that is the audit log.
import pg from 'pg';
import type { Figure } from '../figure.ts';
import { ALONE, type Generator } from '../generator.ts';
import type { Plan } from '../plan.ts';
import { encryptCall, HOT } from '../requests.ts';
import { median, quantile } from '../rounds.ts';
import type { Target } from '../servers.ts';
import type { Trio } from './throughput.ts';

type Latencies = readonly number[];

interface Round {
  readonly bare: Latencies;
  readonly unaudited: Latencies;
  readonly audited: Latencies;
  readonly commit: Latencies;
}

/** Of a round: what else the disk does changes within seconds, and has to fall on calls and commits alike. */
const TURNS = 5;
const SHARES = { p50: 0.5, p99: 0.99 };

export async function latencyFigures(
  generator: Generator,
  { kms, unaudited, echo }: Trio,
  plan: Plan,
): Promise<Figure[]> {
  const call = encryptCall(HOT);
  const turns = plan.rounds * TURNS;
  const calls = Math.ceil(plan.latencyCalls / TURNS);
  const measure = async (target: Target): Promise<Latencies> =>
    (await generator.run(target.port, call, ALONE, calls, true)).latencies;
  const client = new pg.Client(kms.dbUrl);
  await client.connect();
  const rounds: Round[] = [];
  try {
    await client.query('CREATE TABLE bench_commits (number bigint)');
    for (let turn = 0; turn < turns; turn++) {
      rounds.push({
        bare: await measure(echo),
        unaudited: await measure(unaudited),
        audited: await measure(kms),
        commit: await commits(client, calls),
      });
    }
  } finally {
    await client.end();
  }
  const details = { rounds: turns, callsARound: calls };
  const figures = Object.entries(SHARES).map(([label, share]): Figure => {
    const of = (latencies: Latencies): number => quantile(latencies, share);
    return {
      name: `latency of Encrypt alone, ${label}`,
      unit: 'ms',
      ours: median(rounds.map(({ audited }) => of(audited))),
      baseline: median(rounds.map(({ bare }) => of(bare))),
      ratio: median(rounds.map(({ audited, bare }) => of(audited) / of(bare))),
      details,
    };
  });
  return [...figures, addedFigure(rounds, details)];
}

/** By the audit log, in commits: its entry is one. */
function addedFigure(rounds: readonly Round[], details: Figure['details']): Figure {
  const middle = (latencies: Latencies): number => quantile(latencies, 0.5);
  const added = ({ audited, unaudited }: Round): number => middle(audited) - middle(unaudited);
  return {
    name: 'what the audit log adds to that p50, against a commit of one row',
    unit: 'ms',
    ours: median(rounds.map(added)),
    baseline: median(rounds.map(({ commit }) => middle(commit))),
    ratio: median(rounds.map((round) => added(round) / middle(round.commit))),
    details: { ...details, unaudited: median(rounds.map(({ unaudited }) => middle(unaudited))) },
  };
}

/** Milliseconds of single-row inserts, each committed, over one connection; in order of size. */
async function commits(client: pg.Client, calls: number): Promise<Latencies> {
  const taken: number[] = [];
  for (let call = 0; call < calls; call++) {
    const began = performance.now();
    await client.query({ name: 'commit', text: 'INSERT INTO bench_commits VALUES ($1)', values: [call] });
    taken.push(performance.now() - began);
  }
  return taken.toSorted((a, b) => a - b);
}
