import { toHex } from '@minikms/crypto-core';
import { type AuditEntry, entryHash } from '../entry.ts';
import { explainLine, parseCheckpointLine } from '../line.ts';
import { LineScanner } from '../line-scanner.ts';
import { LineSplitter } from '../lines.ts';
import type { Request } from './command.ts';
import { type Terminal, open, type Output, printable } from './terminal.ts';

/** Writes entries as they stand. Stops at the first line that is none. */
export async function show({ file, seq }: Request, terminal: Terminal): Promise<number> {
  const scanner = new LineScanner();
  let out: string[] = [];
  let lines = 0;
  let shown = 0;
  let bad: string | undefined;
  const splitter = new LineSplitter((bytes, at, stop) => {
    lines += 1;
    if (scanner.scan(bytes, at, stop)) {
      const wanted = seq === undefined || scanner.input.seq === seq;
      if (wanted) out.push(seq === undefined ? lineOf(scanner.input.entry()) : pageOf(scanner.input.entry()));
      if (wanted) shown += 1;
      return true;
    }
    const line = bytes.subarray(at, stop);
    const note = parseCheckpointLine(line);
    if (note === undefined) bad = `BAD: line ${lines} is not an audit entry: ${printable(explainLine(line))}.`;
    else if (seq === undefined)
      out.push(
        note
          .trimEnd()
          .split('\n')
          .map((one) => `  | ${printable(one)}`)
          .join('\n'),
      );
    return note !== undefined;
  });
  for await (const chunk of open(file, terminal)) {
    const goOn = splitter.push(chunk);
    await writeLines(out, terminal.stdout);
    out = [];
    if (!goOn || !terminal.stdout.writable) break;
  }
  if (bad === undefined) splitter.end();
  await writeLines(out, terminal.stdout);
  if (bad !== undefined) terminal.stderr.write(`${bad}\n  (LINE_MALFORMED, line ${lines})\n`);
  if (bad === undefined && seq !== undefined && shown === 0) terminal.stderr.write(`There is no entry ${seq}.\n`);
  return bad !== undefined ? 1 : seq !== undefined && shown === 0 ? 2 : 0;
}

/** An entry on one line. */
export function lineOf(entry: AuditEntry): string {
  const { seq, action, actorId, details, tenantId } = entry;
  return `${seq} ${timeOf(entry)} ${printable([tenantId, action, actorId === '' ? '-' : actorId, details].join(' '))}`;
}

function pageOf(entry: AuditEntry): string {
  const hash = toHex(entryHash(entry));
  const rows = {
    seq: entry.seq.toString(),
    time: `${timeOf(entry)} (${entry.timestampUs} µs)`,
    tenant: entry.tenantId,
    action: entry.action,
    actor: entry.actorId,
    details: entry.details,
    'token hash': toHex(entry.requestJwtHash),
    'previous hash': toHex(entry.previousHash),
    'entry hash': toHex(entry.entryHash),
  };
  const lines = Object.entries(rows).map(
    ([name, value]) => `${name.padEnd(14)} ${value === '' ? '-' : printable(value)}`,
  );
  const fits = hash === toHex(entry.entryHash);
  return [...lines, `${''.padEnd(14)} ${fits ? 'the contents give this hash' : `BUT THE CONTENTS GIVE ${hash}`}`].join(
    '\n',
  );
}

function timeOf({ timestampUs }: AuditEntry): string {
  const micros = ((timestampUs % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const date = new Date(Number((timestampUs - micros) / 1000n));
  if (Number.isNaN(date.getTime())) return `${timestampUs}µs`;
  return `${date.toISOString().slice(0, -5)}.${micros.toString().padStart(6, '0')}Z`;
}

/** Waits while the reader is slow; a reader that is gone is not waited for. */
async function writeLines(lines: readonly string[], to: Output): Promise<void> {
  if (lines.length === 0 || !to.writable || to.write(`${lines.join('\n')}\n`)) return;
  await new Promise<void>((resolve) => {
    const events = ['drain', 'close', 'error'] as const;
    const done = (): void => {
      for (const event of events) to.off(event, done);
      resolve();
    };
    for (const event of events) to.once(event, done);
  });
}
