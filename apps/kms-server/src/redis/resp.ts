/** The longest value that is written or read. */
export const MAX_VALUE_BYTES = 4096;
const MAX_LINE = 1024;
const MAX_ITEMS = 3;
const MAX_ITEM_BYTES = 256;

/** An error that Redis answered. Its text is Redis's own and may hold anything. */
export class ErrorReply {
  readonly code: string;

  constructor(text: string) {
    this.code = text.split(' ', 1)[0] ?? '';
  }
}

export type Reply = Buffer | string | number | null | ErrorReply | readonly Reply[];

/** What was received is not a reply, or a larger one than any that this server asks for. */
export class ProtocolError extends Error {}

/** A command as Redis reads it. */
export function encode(parts: readonly (string | Uint8Array)[]): Buffer {
  const chunks: Uint8Array[] = [Buffer.from(`*${parts.length}\r\n`)];
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part;
    chunks.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(chunks);
}

/**
 * The reply that starts at `at` and where it ends; `undefined` if it is not all there yet. Only the replies of RESP2
 * that this server needs: no array in an array, and nothing that would need more than a few KiB.
 *
 * @throws ProtocolError
 */
export function parse(bytes: Buffer, at: number, nested = false): { reply: Reply; end: number } | undefined {
  if (at >= bytes.length) return undefined;
  const type = String.fromCharCode(bytes[at] as number);
  if (!(nested ? ':$' : '+-:$*').includes(type)) throw new ProtocolError('a reply of an unknown type');
  const length = bytes.subarray(at, at + MAX_LINE).indexOf('\r\n');
  if (length === -1) {
    if (bytes.length - at >= MAX_LINE) throw new ProtocolError('a line that does not end');
    return undefined;
  }
  const line = bytes.toString('latin1', at + 1, at + length);
  const start = at + length + 2;
  if (type === '+') return { reply: line, end: start };
  if (type === '-') return { reply: new ErrorReply(line), end: start };
  if (!/^-?[0-9]{1,15}$/.test(line)) throw new ProtocolError('a number that is none');
  const number = Number(line);
  if (type === ':') return { reply: number, end: start };
  if (type === '$') return bulk(bytes, start, number, nested ? MAX_ITEM_BYTES : MAX_VALUE_BYTES);
  if (number < 1 || number > MAX_ITEMS) throw new ProtocolError('an array of an unexpected length');
  const items: Reply[] = [];
  let end = start;
  while (items.length < number) {
    const item = parse(bytes, end, true);
    if (item === undefined) return undefined;
    items.push(item.reply);
    end = item.end;
  }
  return { reply: items, end };
}

function bulk(bytes: Buffer, start: number, length: number, most: number): { reply: Reply; end: number } | undefined {
  if (length === -1) return { reply: null, end: start };
  if (length < 0 || length > most) throw new ProtocolError('a value that is too long');
  const end = start + length;
  if (bytes.length < end + 2) return undefined;
  if (bytes.toString('latin1', end, end + 2) !== '\r\n') throw new ProtocolError('a value longer than it says');
  return { reply: bytes.subarray(start, end), end: end + 2 };
}
