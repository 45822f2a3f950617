// npm run bench: measures the server against what it is made of, in one run on one machine, and prints ratios. It judges
// nothing by time: its exit status tells only whether everything worked.
import { writeFileSync } from 'node:fs';
import { checkRoundTrip } from './correctness.ts';
import { type Figure, isMet } from './figure.ts';
import { latencyFigures } from './figures/latency.ts';
import { memoryFigure } from './figures/memory.ts';
import { exportFigure, proofFigures } from './figures/proofs.ts';
import { replicasFigures } from './figures/replicas.ts';
import { roundTripFigures } from './figures/round-trips.ts';
import { tenantsFigure } from './figures/tenants.ts';
import { auditFigure, batchFigures, encryptFigures } from './figures/throughput.ts';
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
  const unaudited = await startKms(stage, await database(stage), { audited: false });
  const echo = await startEcho(stage);
  const trio = { kms, unaudited, echo };
  const figures: Figure[] = [];
  for (const server of [kms, unaudited]) await checkRoundTrip(server, HOT);
  progress('Encrypt');
  figures.push(...(await encryptFigures(generator, trio, plan)));
  progress('Encrypt, audited');
  figures.push(await auditFigure(generator, trio, plan));
  progress('BatchEncrypt');
  figures.push(...(await batchFigures(stage, generator, kms, echo, plan)));
  progress('latency');
  figures.push(...(await latencyFigures(generator, trio, plan)));
  for (const server of [kms, unaudited]) await checkRoundTrip(server, HOT);
  for (const server of [kms, unaudited, echo]) await server.stop();
  progress('replicas');
  figures.push(...(await replicasFigures(stage, generator, plan)));
  progress('export');
  figures.push(await exportFigure(stage, plan));
  progress('proofs');
  figures.push(...(await proofFigures(stage, plan)));
  progress('round trips to the database');
  figures.push(...(await roundTripFigures(stage)));
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
