import { AuditError } from '../errors.ts';
import { parseReceipt, verifyReceipt } from '../receipt.ts';
import type { Request } from './command.ts';
import { type Terminal, count, printable, readText } from './terminal.ts';
import { lineOf } from './show.ts';
import { Witnessing } from './witness.ts';

export async function checkReceipt(request: Request, terminal: Terminal): Promise<number> {
  const { file, keys } = request;
  const text = await readText(file, terminal);
  if (keys.length === 0) {
    terminal.stdout.write('NOT PROVEN: give the key of the log with --key; a receipt proves nothing without it.\n');
    return 3;
  }
  try {
    const { entry, checkpoint } = verifyReceipt(text, keys);
    const { origin, size } = checkpoint;
    const witnessing = new Witnessing(request);
    witnessing.add({ size, note: parseReceipt(text).checkpoint });
    const { met } = witnessing;
    const signed = `${printable(origin)} signed for ${count(size)} entries, and this is one of them:`;
    const heading = met ? `GOOD: ${signed}` : `BAD: too few witnesses cosigned. ${signed}`;
    terminal.stdout.write(`${[heading, lineOf(entry), ...witnessing.lines()].join('\n')}\n`);
    return met ? 0 : 1;
  } catch (error) {
    if (!(error instanceof AuditError)) throw error;
    terminal.stdout.write(`BAD: ${printable(error.message)}.\n  (${error.code})\n`);
    return 1;
  }
}
