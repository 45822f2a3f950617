import { MAX_LINE } from './bounds.ts';
import { type AuditEntry, checkEntry } from './entry.ts';
import { AuditError } from './errors.ts';
import { LineScanner } from './line-scanner.ts';

const FIELDS = [
  'action',
  'actor_id',
  'details',
  'entry_hash',
  'previous_hash',
  'request_jwt_hash',
  'seq',
  'tenant_id',
  'timestamp_us',
] as const;

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/**
 * The line of an entry in an export, without its end (spec/audit-chain.md §6).
 *
 * @throws AuditError `ENTRY_INVALID` for a field outside its bounds.
 */
export function encodeLine(entry: AuditEntry): string {
  checkEntry(entry);
  // RFC 8785 §3.2.3: properties sorted by name.
  return JSON.stringify({
    action: entry.action,
    actor_id: entry.actorId,
    details: entry.details,
    entry_hash: base64(entry.entryHash),
    previous_hash: base64(entry.previousHash),
    request_jwt_hash: base64(entry.requestJwtHash),
    seq: entry.seq.toString(),
    tenant_id: entry.tenantId,
    timestamp_us: entry.timestampUs.toString(),
  });
}

/** The line that carries a checkpoint in an export, without its end (spec/audit-chain.md §6). */
export function encodeCheckpointLine(note: string): string {
  return JSON.stringify({ checkpoint: note });
}

/**
 * The entry of a line. Every entry has one line and every line one entry: `encodeLine` gives back the same bytes.
 *
 * @throws AuditError `LINE_MALFORMED` for anything else, with what is wrong with it.
 */
export function parseLine(line: string | Uint8Array): AuditEntry {
  // A lone surrogate would become U+FFFD, and so another text.
  const exact = typeof line !== 'string' || line.isWellFormed();
  const bytes = typeof line === 'string' ? Buffer.from(line) : line;
  const scanner = new LineScanner();
  if (exact && bytes.length <= MAX_LINE && scanner.scan(bytes, 0, bytes.length)) return scanner.input.entry();
  throw new AuditError('LINE_MALFORMED', explainLine(bytes));
}

/** The note in a checkpoint's line; `undefined` when it is not such a line. */
export function parseCheckpointLine(line: Uint8Array): string | undefined {
  const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString('utf8');
  if (!text.startsWith('{"checkpoint":"')) return undefined;
  const note = fieldsOf(text)?.['checkpoint'];
  return typeof note === 'string' && encodeCheckpointLine(note) === text ? note : undefined;
}

/** What is wrong with a line that is not an entry's, for people. */
export function explainLine(line: Uint8Array): string {
  if (line.length > MAX_LINE) return `it is longer than ${MAX_LINE} bytes`;
  const fields = fieldsOf(Buffer.from(line).toString('utf8'));
  if (line.length === 0) return 'it is empty';
  if (fields === undefined) return 'it is not a JSON object';
  const unknown = Object.keys(fields).find((name) => !FIELDS.some((field) => field === name));
  if (unknown !== undefined) return `it has the unknown field ${JSON.stringify(unknown.slice(0, 40))}`;
  const missing = FIELDS.find((field) => !Object.hasOwn(fields, field));
  if (missing !== undefined) return `it has no field "${missing}"`;
  const mistyped = FIELDS.find((field) => typeof fields[field] !== 'string');
  if (mistyped !== undefined) return `its field "${mistyped}" is not a string`;
  return 'a field is out of bounds, twice there, or not written in the one form that an export has (RFC 8785)';
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
