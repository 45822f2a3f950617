import type { Fault } from '../fault.ts';
import { type ExportReport, verifyExport } from '../verify.ts';
import type { Request } from './command.ts';
import { type Terminal, count, open, printable, progress } from './terminal.ts';
import { Witnessing } from './witness.ts';

const EXIT = { good: 0, bad: 1, unproven: 3 } as const;

export async function verify(request: Request, terminal: Terminal): Promise<number> {
  const { tell, clear } = await progress(request.file, terminal);
  const witnessing = new Witnessing(request);
  const report = await verifyExport(open(request.file, terminal), {
    ...request,
    onProgress: tell,
    onMatch: (checkpoint) => {
      if (request.witnesses.length > 0 && checkpoint.signed) witnessing.add(checkpoint);
    },
  }).finally(clear);
  const { met } = witnessing;
  const good = report.verdict === 'good';
  const said = describe(report, request);
  const all = good
    ? [met ? 'GOOD' : 'BAD: too few witnesses cosigned.', ...said.slice(1), ...witnessing.lines()]
    : said;
  terminal.stdout.write(`${all.join('\n')}\n`);
  return good && !met ? EXIT.bad : EXIT[report.verdict];
}

/** A report in sentences. */
export function describe(report: ExportReport, { keys }: Pick<Request, 'keys'>): readonly string[] {
  const { verdict, faults, entries, covered, tenantId, origin } = report;
  const [first, ...more] = faults;
  const whose = tenantId === undefined ? '' : ` of tenant ${printable(tenantId)}`;
  const whole =
    entries === 0
      ? 'The log is empty.'
      : `${range(1, entries)}${whose}: each is whole and follows from the one before.`;
  const signed =
    covered === 0 ? [] : [`${range(1, covered)}: exactly those that ${printable(origin ?? '')} signed for.`];
  if (verdict === 'bad' && first !== undefined) {
    return [
      `BAD: ${fault(first)}`,
      ...more.map((one) => `Also: ${fault(one)}`),
      ...(entries === 0 ? [] : [whole]),
      ...signed,
    ];
  }
  if (verdict === 'unproven') {
    const missing = keys.length === 0 ? 'Give the key of the log with --key' : 'Give a checkpoint with --checkpoint';
    return [
      'NOT PROVEN: nothing is wrong, and nothing was there to compare with.',
      whole,
      `${missing}: whoever rewrites the whole log, or cuts off its end, is found only by a signed checkpoint.`,
    ];
  }
  const rest =
    entries > covered
      ? [
          `${range(covered + 1, entries)}: newer than any checkpoint, and not signed for yet. Their end could have been cut off.`,
        ]
      : [];
  return ['GOOD', whole, ...signed, ...rest];
}

function fault({ code, message, first, last, line }: Fault): string {
  const places = [
    ...(first === undefined || last === undefined ? [] : [range(first, last).toLowerCase()]),
    ...(line === undefined ? [] : [`line ${line}`]),
  ];
  return `${printable(message)}.\n  (${[code, ...places].join(', ')})`;
}

function range(first: number, last: number): string {
  return first === last ? `Entry ${count(first)}` : `Entries ${count(first)} to ${count(last)}`;
}
