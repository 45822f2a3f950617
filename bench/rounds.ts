// Rates measured in turn, A B A B, so that what else the machine does falls on all alike; the median counts.
import { processorSeconds } from './process-usage.ts';

/** One thing to be measured. */
export interface Contestant {
  /** Works for a while. `seconds` is the time of the work alone, without starting and stopping its generator. */
  run(): Promise<{ readonly items: number; readonly seconds: number }>;
  /** Its server. */
  readonly pid?: number;
}

export interface Rate {
  /** Items a second: median of the rounds. */
  readonly rate: number;
  /** Each round's. */
  readonly rounds: readonly number[];
  /** The server's processor time for each item, in microseconds; `undefined` where the system does not tell. */
  readonly processorUs: number | undefined;
  /** Share of a processor that the server used. Far below 1, its generator was the limit and not the server. */
  readonly busy: number | undefined;
}

interface Tally {
  readonly rates: number[];
  items: number;
  seconds: number;
  used: number;
}

export async function alternate<Name extends string>(
  rounds: number,
  contestants: Readonly<Record<Name, Contestant>>,
): Promise<Record<Name, Rate>> {
  const entries = Object.entries<Contestant>(contestants).map(([name, contestant]) => {
    const tally: Tally = { rates: [], items: 0, seconds: 0, used: 0 };
    return { name, contestant, tally };
  });
  for (let round = 0; round < rounds; round++) {
    // Backwards every other time: whoever comes second would otherwise always come second.
    for (const { contestant, tally } of round % 2 === 0 ? entries : entries.toReversed()) {
      const before = used(contestant.pid);
      const { items, seconds } = await contestant.run();
      tally.used += used(contestant.pid) - before;
      tally.rates.push(items / seconds);
      tally.items += items;
      tally.seconds += seconds;
    }
  }
  return Object.fromEntries(entries.map(({ name, tally }) => [name, summary(tally)])) as Record<Name, Rate>;
}

function summary({ rates, items, seconds, used: processor }: Tally): Rate {
  const known = Number.isFinite(processor);
  return {
    rate: median(rates),
    rounds: rates,
    processorUs: known ? (processor / items) * 1e6 : undefined,
    busy: known ? processor / seconds : undefined,
  };
}

function used(pid: number | undefined): number {
  return (pid === undefined ? undefined : processorSeconds(pid)) ?? Number.NaN;
}

/** How many times as fast: the median of the rounds' ratios, since what disturbs a round disturbs both in it. */
export function ratioOf(ours: Rate, baseline: Rate): number {
  return median(ours.rounds.map((rate, round) => rate / (baseline.rounds[round] ?? Number.NaN)));
}

export function median(values: readonly number[]): number {
  return quantile(
    values.toSorted((a, b) => a - b),
    0.5,
  );
}

/** Of values in order of size; between two of them, by distance. */
export function quantile(sorted: readonly number[], share: number): number {
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}
