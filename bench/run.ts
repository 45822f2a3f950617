// npm run bench: measures the server against what it is made of, in one run on one machine, and prints ratios. It judges
// nothing by time: its exit status tells only whether everything worked.
import { writeFileSync } from 'node:fs';
import { checkRoundTrip } from './correctness.ts';
import { type Figure, isMet } from './figure.ts';
import { latencyFigures } from './figures/latency.ts';
import { memoryFigure } from './figures/memory.ts';
import { roundTripFigure } from './figures/round-trips.ts';
import { tenantsFigure } from './figures/tenants.ts';
import { batchFigures, encryptFigure } from './figures/throughput.ts';
import { openGenerator } from './generator.ts';
import { describeMachine } from './machine.ts';
import { type Plan, readPlan, USAGE } from './plan.ts';
import { HOT } from './requests.ts';
import { database, startEcho, startKms } from './servers.ts';
import { onStage, type Stage } from './stage.ts';
import { notes, place, table } from './table.ts';

const args = process.argv.slice(2);

async function measure(stage: Stage, plan: Plan): Promise<void> {
  const generator = openGenerator(stage, plan.generator);
  const dbUrl = await database(stage);
  const machine = await describeMachine(dbUrl, generator.name, args);
  console.log(`${place(machine)}\n`);

  const kms = await startKms(stage, dbUrl);
  const echo = await startEcho(stage);
  const figures: Figure[] = [];
  await checkRoundTrip(kms, HOT);
  progress('Encrypt');
  figures.push(await encryptFigure(generator, kms, echo, plan));
  progress('BatchEncrypt');
  figures.push(...(await batchFigures(stage, generator, kms, echo, plan)));
  progress('latency');
  figures.push(...(await latencyFigures(generator, kms, echo, plan)));
  await checkRoundTrip(kms, HOT);
  await kms.stop();
  await echo.stop();
  progress('round trips to the database');
  figures.push(await roundTripFigure(stage));
  progress('tenants');
  figures.push(await tenantsFigure(stage, generator, plan));
  progress('memory');
  figures.push(await memoryFigure(stage, generator, plan));
  progress('');

  console.log(`${table(figures)}\n\n${notes(figures)}`);
  if (plan.json !== undefined) {
    const judged = figures.map((figure) => ({ ...figure, met: isMet(figure) }));
    writeFileSync(plan.json, `${JSON.stringify({ machine, figures: judged }, undefined, 2)}\n`);
  }
}

/** One line of a terminal, overwritten; nothing in a file. */
function progress(what: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what === '' ? '' : `measuring: ${what}`}`);
}

let plan: Plan;
try {
  plan = readPlan(args);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  process.exit(2);
}
// What a signal interrupts would keep the process.
process.exit(await onStage((stage) => measure(stage, plan)));
