import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';

export interface Output {
  readonly isTTY?: boolean;
  write(text: string): boolean;
  once(event: 'drain' | 'close' | 'error', listener: () => void): unknown;
  off(event: 'drain' | 'close' | 'error', listener: () => void): unknown;
  readonly writable: boolean;
}

/** The part of `process` that the commands use. */
export interface Terminal {
  readonly stdin: AsyncIterable<unknown>;
  readonly stdout: Output;
  readonly stderr: Output;
}

/** What is wrong with the command line or a file: exit code 2. */
export class Refusal extends Error {}

/** The bytes of a file, or of standard input for `-`. */
export async function* open(file: string, terminal: Terminal): AsyncGenerator<Uint8Array> {
  const source: AsyncIterable<unknown> =
    file === '-' ? terminal.stdin : createReadStream(file, { highWaterMark: 1024 * 1024 });
  for await (const chunk of source) yield chunk as Uint8Array;
}

const MAX_TEXT = 1024 * 1024;

/** A small text file, or standard input for `-`. */
export async function readText(file: string, terminal?: Terminal): Promise<string> {
  const source: AsyncIterable<unknown> =
    file === '-' && terminal !== undefined ? terminal.stdin : createReadStream(file);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of source) {
    chunks.push(chunk as Uint8Array);
    length += (chunk as Uint8Array).length;
    if (length > MAX_TEXT) throw new Refusal(`${file} is too long to be what it should`);
  }
  const bytes = Buffer.concat(chunks);
  if (!isUtf8(bytes)) throw new Refusal(`${file} is not text`);
  return bytes.toString('utf8');
}

/** Text of a log, safe on a terminal: what could move the cursor or turn the line around is written as its code. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (one) => {
    return `\\u{${one.codePointAt(0)!.toString(16)}}`;
  });
}

/** A number with its thousands apart. */
export function count(n: number): string {
  return n.toLocaleString('en-US');
}

export interface Progress {
  readonly tell: (done: { readonly entries: number; readonly bytes: number }) => void;
  readonly clear: () => void;
}

/** How far it is, four times a second, on standard error if that is a terminal. */
export async function progress(file: string, { stderr }: Terminal): Promise<Progress> {
  if (stderr.isTTY !== true) return { tell: () => {}, clear: () => {} };
  const size = file === '-' ? 0 : ((await stat(file).catch(() => undefined))?.size ?? 0);
  let last = 0;
  const tell: Progress['tell'] = ({ entries, bytes }) => {
    if (Date.now() - last < 250) return;
    last = Date.now();
    const part = size > 0 ? `, ${Math.floor((100 * bytes) / size)} %` : '';
    stderr.write(`\r\x1b[K${count(entries)} entries, ${count(Math.round(bytes / 1e6))} MB${part}`);
  };
  return { tell, clear: () => void stderr.write('\r\x1b[K') };
}
