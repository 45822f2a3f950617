import type { AuditEntry } from '../entry.ts';
import { ProofNodes } from '../nodes.ts';
import { inclusionProof } from '../proof.ts';
import { formatReceipt } from '../receipt.ts';
import { verifyExport } from '../verify.ts';
import type { Request } from './command.ts';
import { type Terminal, count, open, progress, Refusal } from './terminal.ts';
import { describe } from './verify.ts';

/** Checks the log, and writes the receipt of an entry under the first checkpoint that covers it. */
export async function prove(request: Request, terminal: Terminal): Promise<number> {
  const { seq } = request;
  if (seq === undefined) throw new Refusal('prove takes the number of an entry: --seq N');
  const nodes = new ProofNodes(seq - 1);
  let entry: AuditEntry | undefined;
  let found: { readonly checkpoint: string; readonly proof: Promise<readonly Uint8Array[]> } | undefined;
  const { tell, clear } = await progress(request.file, terminal);
  const report = await verifyExport(open(request.file, terminal), {
    ...request,
    sink: nodes.sink,
    onProgress: tell,
    onEntry: (at, make) => {
      if (at === seq) entry = make();
    },
    onMatch: ({ size, note }) => {
      // The nodes are read within this call, while the tree has the checkpoint's size.
      if (size >= seq) found ??= { checkpoint: note, proof: inclusionProof(nodes, seq - 1, size) };
    },
  }).finally(clear);
  if (report.verdict === 'bad') {
    terminal.stderr.write(`${describe(report, request).join('\n')}\n`);
    return 1;
  }
  if (entry === undefined) throw new Refusal(`there is no entry ${seq}: the log has ${count(report.entries)}`);
  if (found === undefined) {
    terminal.stderr.write(`No checkpoint covers entry ${seq}: there is nothing to prove it against.\n`);
    return 3;
  }
  terminal.stdout.write(
    formatReceipt({ index: seq - 1, proof: await found.proof, checkpoint: found.checkpoint, entry }),
  );
  return 0;
}
