import { AuditError } from '../errors.ts';
import { verifyReceipt } from '../receipt.ts';
import type { Request } from './command.ts';
import { type Terminal, count, printable, readText } from './terminal.ts';
import { lineOf } from './show.ts';

export async function checkReceipt({ file, keys }: Request, terminal: Terminal): Promise<number> {
  const text = await readText(file, terminal);
  if (keys.length === 0) {
    terminal.stdout.write('NOT PROVEN: give the key of the log with --key; a receipt proves nothing without it.\n');
    return 3;
  }
  try {
    const { entry, checkpoint } = verifyReceipt(text, keys);
    const { origin, size } = checkpoint;
    terminal.stdout.write(`GOOD: ${printable(origin)} signed for ${count(size)} entries, and this is one of them:\n`);
    terminal.stdout.write(`${lineOf(entry)}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof AuditError)) throw error;
    terminal.stdout.write(`BAD: ${printable(error.message)}.\n  (${error.code})\n`);
    return 1;
  }
}
