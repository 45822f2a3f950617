// Where a server's time goes: drives it under --cpu-prof and prints the functions with the most time of their own.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { underLoad } from './contestants.ts';
import { type Self, selfTimes } from './cpu-profile.ts';
import { BUSY, openGenerator, WIDE } from './generator.ts';
import { batchCall, type Call, encryptCall, HOT } from './requests.ts';
import { database, startEcho, startKms } from './servers.ts';
import { onStage, type Stage } from './stage.ts';

const USAGE =
  'node bench/profile.ts [encrypt|batch|batch-raw] [--echo] [--no-audit] [--wide] [--seconds 10] [--top 25]';
const CALLS: Readonly<Record<string, Call>> = {
  encrypt: encryptCall(HOT),
  batch: batchCall(HOT, false),
  'batch-raw': batchCall(HOT, true),
};

const { values, positionals } = parseArgs({
  options: {
    echo: { type: 'boolean', default: false },
    'no-audit': { type: 'boolean', default: false },
    wide: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '10' },
    top: { type: 'string', default: '25' },
  },
  allowPositionals: true,
});
const call = CALLS[positionals[0] ?? 'encrypt'];
const seconds = Number(values.seconds);
const top = Number(values.top);
if (call === undefined || positionals.length > 1 || !(seconds > 0) || !(top > 0)) {
  console.error(USAGE);
  process.exit(2);
}

async function profile(stage: Stage, sent: Call): Promise<void> {
  const folder = join(stage.folder, 'profile');
  const flags = ['--cpu-prof', `--cpu-prof-dir=${folder}`];
  const generator = openGenerator(stage, undefined);
  const dbUrl = values.echo ? '' : await database(stage);
  const began = performance.now();
  const audited = !values['no-audit'];
  const target = values.echo
    ? await startEcho(stage, flags)
    : await startKms(stage, dbUrl, { nodeFlags: flags, audited });
  const load = await underLoad(generator, target, sent, seconds, values.wide ? WIDE : BUSY);
  // The warm-up took as long as the run will: what is compiled and loaded then is not of interest.
  const skipMs = performance.now() - began;
  const { items, seconds: took } = await load.run();
  await target.stop();
  const [file] = readdirSync(folder);
  if (file === undefined) throw new Error('the server left no profile');
  const functions = selfTimes(readFileSync(join(folder, file), 'utf8'), skipMs);
  console.log(
    `${Math.round(items / took).toLocaleString('en')} items/s under the profiler, load by ${generator.name}\n`,
  );
  console.log('µs an item, share of the time that was not idle:');
  const line = ({ microseconds, share }: Pick<Self, 'microseconds' | 'share'>): string =>
    `${(microseconds / items).toFixed(2).padStart(7)} ${(share * 100).toFixed(1).padStart(5)} %`;
  for (const self of functions.slice(0, top)) console.log(`${line(self)}  ${self.name}  ${self.place}`);
  console.log('\nby owner:');
  for (const [owner, sum] of byOwner(functions).slice(0, 15)) console.log(`${line(sum)}  ${owner}`);
}

type Sum = { microseconds: number; share: number };

function byOwner(functions: readonly Self[]): [string, Sum][] {
  const owners = new Map<string, Sum>();
  for (const { owner, share, microseconds } of functions) {
    const sum = owners.get(owner) ?? { share: 0, microseconds: 0 };
    owners.set(owner, { share: sum.share + share, microseconds: sum.microseconds + microseconds });
  }
  return [...owners].toSorted(([, a], [, b]) => b.share - a.share);
}

process.exit(await onStage((stage) => profile(stage, call)));
