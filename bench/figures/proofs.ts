// What an auditor waits for: verifying an export, and the proof of one entry of a long log.
import { randomBytes, randomInt } from 'node:crypto';
import { SecretBytes, Signer } from '@minikms/crypto-core';
import { placed, syntheticEntry } from '../audit-log.ts';
import type { Figure } from '../figure.ts';
import type { Plan } from '../plan.ts';
import { Checkpointer, type Head, MemoryKnownCheckpoints, migrate, openStore, type Store } from '../product.ts';
import { alternate, quantile } from '../rounds.ts';
import { database, startExportVerifier } from '../servers.ts';
import type { Stage } from '../stage.ts';

const LOG = 'bench.example/audit';
const TENANT = 'bench-long';
/** Entries that are written at once. */
const PAGE = 5000;

export async function exportFigure(stage: Stage, plan: Plan): Promise<Figure> {
  const verifier = await startExportVerifier(stage, plan.exportEntries);
  await verifier.run();
  const { ours } = await alternate(plan.rounds, { ours: verifier });
  const { processorUs, rate } = ours;
  return {
    name: `verifying an export of ${plan.exportEntries.toLocaleString('en')} entries, on one core`,
    unit: 'entries/s',
    // All its threads on one core: what others do with the machine is left out, and what its own do beside it counts.
    ours: processorUs === undefined ? rate : 1e6 / processorUs,
    target: { is: 'at least', of: 120_000 },
    details: { ours },
  };
}

export async function proofFigures(stage: Stage, plan: Plan): Promise<Figure[]> {
  const url = await database(stage);
  await migrate(url);
  const store = await openStore({ url });
  stage.atEnd(() => store.close());
  await fill(store, plan.proofEntries);
  const signer = Signer.fromSeed(SecretBytes.from('signing-seed', randomBytes(32)));
  const checkpointer = new Checkpointer({
    store: store.audit,
    log: LOG,
    signer: { name: LOG, signer },
    known: new MemoryKnownCheckpoints(),
    onIncident: ({ reason }) => console.error(reason),
  });
  const began = performance.now();
  await checkpointer.checkpoint(TENANT);
  const treeMs = performance.now() - began;
  const size = plan.proofEntries.toLocaleString('en');
  const proofs = await timed(plan, async (seq) => checkpointer.inclusionProof(TENANT, seq));
  const receipts = await timed(plan, async (seq) => checkpointer.receipt(TENANT, seq));
  const details = { proofs: plan.proofs, treeMs };
  const remarks = [`its first checkpoint, which computes the whole tree, took ${treeMs.toFixed(0)} ms`];
  const ms = (name: string, latencies: readonly number[], share: number): Figure => ({
    name: `${name}, p${share * 100}`,
    unit: 'ms',
    ours: quantile(latencies, share),
    target: { is: 'at most', of: 20 },
    details,
  });
  return [
    { ...ms(`proof of an entry in a log of ${size}`, proofs, 0.5), details: { ...details, remarks } },
    ms('the same', proofs, 0.99),
    ms('its receipt, with the entry', receipts, 0.5),
    ms('the same', receipts, 0.99),
  ];
}

/** Milliseconds for entries anywhere in the log, one after the other; in order of size. */
async function timed(plan: Plan, work: (seq: number) => Promise<unknown>): Promise<readonly number[]> {
  const taken: number[] = [];
  for (let i = 0; i < plan.proofs; i++) {
    const seq = randomInt(1, plan.proofEntries + 1);
    const began = performance.now();
    await work(seq);
    taken.push(performance.now() - began);
  }
  return taken.toSorted((a, b) => a - b);
}

async function fill(store: Store, entries: number): Promise<void> {
  let head: Head = { seq: 0, hash: new Uint8Array(32), epoch: 1 };
  while (head.seq < entries) {
    const after = head;
    const page = Array.from({ length: Math.min(PAGE, entries - after.seq) }, (_, i) =>
      syntheticEntry(TENANT, after.seq + i + 1),
    );
    let { hash } = after;
    const hashes = page.map((entry, i) => (hash = placed(entry, after.seq + i + 1, hash).entryHash));
    const [outcome] = await store.audit.append([{ tenantId: TENANT, after, entries: page, hashes }], []);
    if (outcome !== true) throw new Error('a log that nobody else writes was not appended to');
    head = { ...after, seq: after.seq + page.length, hash };
  }
}
