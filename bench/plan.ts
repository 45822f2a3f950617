// How much is measured.
import { parseArgs } from 'node:util';

export interface Plan {
  readonly rounds: number;
  /** Of each contestant in each round, about. */
  readonly seconds: number;
  /** Calls after which memory is looked at. */
  readonly memoryMilestones: readonly number[];
  readonly latencyCalls: number;
  /** Of the export that is verified. */
  readonly exportEntries: number;
  /** Of the log of which entries are proven. */
  readonly proofEntries: number;
  readonly proofs: number;
  readonly generator: string | undefined;
  /** Where to write the figures. */
  readonly json: string | undefined;
}

const FULL = {
  rounds: 5,
  seconds: 3,
  memoryMilestones: [100_000, 250_000, 500_000, 1_000_000],
  latencyCalls: 5000,
  exportEntries: 300_000,
  proofEntries: 1_000_000,
  proofs: 1000,
};
const QUICK = {
  rounds: 3,
  seconds: 1,
  memoryMilestones: [50_000, 100_000, 200_000],
  latencyCalls: 2000,
  exportEntries: 300_000,
  proofEntries: 100_000,
  proofs: 500,
};

export const USAGE = `node bench/run.ts [--quick] [--json FILE] [--generator h2load|bundled]`;

/** @throws TypeError for an option that there is not. */
export function readPlan(args: readonly string[]): Plan {
  const { values } = parseArgs({
    args: [...args],
    options: { quick: { type: 'boolean' }, json: { type: 'string' }, generator: { type: 'string' } },
  });
  const { generator, json } = values;
  if (generator !== undefined && generator !== 'h2load' && generator !== 'bundled') {
    throw new TypeError(`--generator is h2load or bundled, not ${generator}`);
  }
  return { ...(values.quick === true ? QUICK : FULL), generator, json };
}
