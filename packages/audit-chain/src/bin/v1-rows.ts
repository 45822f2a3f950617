import { isUtf8 } from 'node:buffer';
import type { V1Row } from '../v1.ts';
import { Refusal } from './terminal.ts';

/** A row of the Go service's table, of whose org_id nothing is hashed. */
export interface GoRow extends V1Row {
  readonly orgId: string;
}

const TIME = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d(?::?\d\d)?)$/;

/**
 * The rows of an array, or of objects on a line each, with the names of the table `kms_audit_log` of the Go service.
 * Throws {@link Refusal} for what is neither.
 */
export function parseRows(bytes: Uint8Array): readonly GoRow[] {
  if (!isUtf8(bytes)) throw new Refusal('the file is not text');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8').trim();
  if (text === '') return [];
  if (text.startsWith('[')) {
    const rows = parse(text, 'the file');
    return (rows as readonly unknown[]).map((row, i) => rowOf(row, `row ${i + 1}`));
  }
  return text.split('\n').map((line, i) => rowOf(parse(line, `line ${i + 1}`), `line ${i + 1}`));
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(`${where} is not JSON`);
  }
}

function rowOf(value: unknown, where: string): GoRow {
  if (typeof value !== 'object' || value === null) throw new Refusal(`${where} is not a row`);
  const row = value as Readonly<Record<string, unknown>>;
  const text = (name: string, otherwise?: string): string => {
    const field = row[name] ?? otherwise;
    if (typeof field !== 'string') throw new Refusal(`${where} has no text "${name}"`);
    return field;
  };
  return {
    orgId: text('org_id'),
    previousHash: text('previous_hash'),
    entryHash: text('entry_hash'),
    timestampUs: microsOf(text('timestamp'), where),
    action: text('action'),
    actorId: text('actor_id', ''),
    details: text('details', ''),
  };
}

/** RFC 3339, or as PostgreSQL writes a timestamptz. */
function microsOf(time: string, where: string): bigint {
  const [, date, clock, fraction = '', zone = 'Z'] = TIME.exec(time) ?? [];
  const offset = zone === 'Z' ? zone : `${zone.slice(0, 3)}:${zone.slice(3).replace(':', '') || '00'}`;
  const seconds = Date.parse(`${date}T${clock}${offset}`) / 1000;
  const micros = fraction.padEnd(9, '0');
  // The database of the Go service keeps microseconds, and so does what it hashed.
  if (Number.isNaN(seconds) || !micros.endsWith('000')) {
    throw new Refusal(`${where} has no "timestamp" as the Go service stored it`);
  }
  return BigInt(seconds) * 1_000_000n + BigInt(micros.slice(0, 6));
}
