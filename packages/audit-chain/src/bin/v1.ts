import { verifyV1 } from '../v1.ts';
import type { Request } from './command.ts';
import { type Terminal, count, open, printable, Refusal } from './terminal.ts';
import { type GoRow, parseRows } from './v1-rows.ts';

/** No string is longer. */
const MAX_FILE = 512 * 1024 * 1024;
/** Rows of a kind that are named. */
const NAMED = 10;

const LIMITS = `What a log of the Go service cannot show (spec/audit-chain.md, section 8):
- that text was not moved between action, actor and details, or that org_id and token hash are what they were;
- that nothing is missing at the end, or that it was not rewritten as a whole: nothing in it is signed;
- which of two rows that follow the same row is genuine.`;

/** Checks logs of the Go service. They are reported, never vouched for. */
export async function verifyGo({ file }: Request, terminal: Terminal): Promise<number> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of open(file, terminal)) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_FILE) throw new Refusal('the file is longer than 512 MiB: check each org_id by itself');
  }
  const logs = new Map<string, GoRow[]>();
  for (const row of parseRows(Buffer.concat(chunks))) {
    const rows = logs.get(row.orgId);
    if (rows === undefined) logs.set(row.orgId, [row]);
    else rows.push(row);
  }
  const reports = [...logs].map(([orgId, rows]) => report(orgId, rows));
  const bad = reports.some(({ whole }) => !whole);
  const heading = bad ? 'BAD' : 'NOT PROVEN: nothing is wrong, and nothing in these logs could prove it.';
  const lines = [heading, ...reports.flatMap((one) => one.lines), ...(logs.size === 0 ? ['There are no rows.'] : [])];
  terminal.stdout.write(`${[...lines, '', LIMITS].join('\n')}\n`);
  return bad ? 1 : 3;
}

function report(orgId: string, rows: readonly GoRow[]): { readonly whole: boolean; readonly lines: readonly string[] } {
  const { whole, ordered, changed, forks, unreached } = verifyV1(rows);
  const name = `Log of ${printable(orgId)}`;
  if (whole) {
    const said = `${rowsOf(ordered.length)} that follow from one another, and each gives its hash.`;
    return { whole, lines: [`${name}: ${said}`] };
  }
  return {
    whole,
    lines: [
      `${name}: ${rowsOf(rows.length)}.`,
      ...named('Changed after it was hashed', changed),
      ...named('Follows the same row as another (the Go service made such forks itself)', forks.flat()),
      ...named('Does not lead back to the beginning', unreached),
    ],
  };
}

function named(what: string, rows: readonly GoRow[]): readonly string[] {
  const lines = rows
    .slice(0, NAMED)
    .map(({ entryHash, action }) => `  ${what}: ${printable(`${entryHash} ${action}`)}`);
  return rows.length > NAMED ? [...lines, `  ${what}: ${count(rows.length - NAMED)} more`] : lines;
}

function rowsOf(n: number): string {
  return n === 1 ? '1 row' : `${count(n)} rows`;
}
