// The figures as a person reads them.
import { type Figure, isMet } from './figure.ts';
import type { Machine } from './machine.ts';
import type { Rate } from './rounds.ts';

const HEADER = ['figure', 'ours', 'baseline', 'ratio', 'target', ''];

export function table(figures: readonly Figure[]): string {
  const rows = [HEADER, ...figures.map(row)];
  const widths = HEADER.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function row(figure: Figure): string[] {
  const { name, unit, ours, baseline, ratio, target } = figure;
  const met = isMet(figure);
  return [
    name,
    `${amount(ours)} ${unit}`,
    baseline === undefined ? '' : `${amount(baseline)} ${unit}`,
    ratio === undefined ? '' : ratio.toFixed(2),
    target === undefined ? '' : `${target.is === 'at least' ? '≥' : '≤'} ${target.of}`,
    met === undefined ? '' : met ? 'ok' : 'short',
  ];
}

/** What the table has no column for. */
export function notes(figures: readonly Figure[]): string {
  return figures.flatMap(note).join('\n');
}

function note({ name, details }: Figure): string[] {
  const lines: string[] = [];
  const { ours, baseline, measured, bytesACall, most, remarks } = details as Partial<{
    ours: Rate;
    baseline: Rate;
    measured: { calls: number; mebibytes: number }[];
    bytesACall: number;
    most: number;
    remarks: readonly string[];
  }>;
  if (ours !== undefined)
    lines.push([usage('ours', ours), ...(baseline === undefined ? [] : [usage('baseline', baseline)])].join('; '));
  if (measured !== undefined && bytesACall !== undefined) {
    const points = measured.map(({ calls, mebibytes }) => `${calls.toLocaleString('en')}: ${mebibytes.toFixed(1)}`);
    lines.push(`MiB after calls ${points.join(', ')}; ${bytesACall.toFixed(1)} bytes a call`);
  }
  if (most !== undefined) lines.push(`at most ${most}, polls in the background included`);
  lines.push(...(remarks ?? []));
  return lines.map((line) => `  ${name}: ${line}`);
}

function usage(who: string, { rounds, processorUs, busy }: Rate): string {
  const processor =
    processorUs === undefined || busy === undefined
      ? ''
      : `, ${processorUs.toFixed(1)} µs of processor an item, busy ${Math.round(busy * 100)} %`;
  return `${who} ${amount(Math.min(...rounds))} to ${amount(Math.max(...rounds))}${processor}`;
}

export function place({
  date,
  command,
  processor,
  cores,
  memoryGiB,
  system,
  node,
  postgresql,
  fsync,
  generator,
}: Machine): string {
  return [
    `${date}  ${command}`,
    `${processor}, ${cores} cores, ${memoryGiB} GiB, ${system}`,
    `Node ${node}, PostgreSQL ${postgresql} (fsync ${fsync}), load by ${generator}`,
  ].join('\n');
}

function amount(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));
}
