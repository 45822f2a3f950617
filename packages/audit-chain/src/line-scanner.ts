import { isUtf8 } from 'node:buffer';
import { HASH_LENGTH, MAX_BYTES, MAX_INT64, MAX_UINT64 } from './bounds.ts';
import { ACTION_AT, HashInput, PREVIOUS_AT, TIMESTAMP_AT } from './hash-input.ts';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

// spec/audit-chain.md §6: RFC 8785, so the fields in this order and nothing between them.
const ACTION = ascii('{"action":"');
const ACTOR = ascii('","actor_id":"');
const DETAILS = ascii('","details":"');
const ENTRY_HASH = ascii('","entry_hash":"');
const PREVIOUS = ascii('","previous_hash":"');
const JWT = ascii('","request_jwt_hash":"');
const SEQ = ascii('","seq":"');
const TENANT = ascii('","tenant_id":"');
const TIMESTAMP = ascii('","timestamp_us":"');
const END = ascii('"}');

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** RFC 8785 §3.2.2.2: what has a short escape, by its letter. */
const SHORT: ReadonlyMap<number, number> = new Map(
  Object.entries({ b: 0x08, f: 0x0c, n: 0x0a, r: 0x0d, t: 0x09, '"': QUOTE, '\\': BACKSLASH }).map(([letter, code]) => [
    letter.charCodeAt(0),
    code,
  ]),
);
/** The other control characters, by the five characters after the backslash. */
const LONG: ReadonlyMap<string, number> = new Map(
  Array.from(
    { length: 0x20 },
    (_, code) => [JSON.stringify(String.fromCharCode(code)).slice(2, -1), code] as const,
  ).filter(([escape]) => escape.length > 1),
);
const BASE64 = new Int8Array(256).fill(-1);
for (const [value, code] of ascii('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/').entries()) {
  BASE64[code] = value;
}

/** Reads the line of an entry from bytes into a {@link HashInput}, in one pass and without making strings. */
export class LineScanner {
  readonly input: HashInput = new HashInput();
  readonly #jwt = new Uint8Array(HASH_LENGTH);
  #line: Uint8Array = new Uint8Array(0);
  #at = 0;
  #stop = 0;

  /** Whether the bytes from `at` to `stop` are a line as §6 has it. When not, `input` holds nothing of use. */
  scan(line: Uint8Array, at: number, stop: number): boolean {
    const { input } = this;
    this.#line = line;
    this.#at = at;
    this.#stop = stop;
    if (!this.#literal(ACTION)) return false;
    if ((input.actionEnd = this.#text(ACTION_AT, 1, MAX_BYTES.action)) < 0) return false;
    if (!this.#literal(ACTOR)) return false;
    if ((input.actorEnd = this.#text(input.actionEnd + 8, 0, MAX_BYTES.actorId)) < 0) return false;
    if (!this.#literal(DETAILS)) return false;
    if ((input.detailsEnd = this.#text(input.actorEnd + 8, 0, MAX_BYTES.details)) < 0) return false;
    if (!this.#literal(ENTRY_HASH) || !this.#hash(input.entryHash, 0)) return false;
    if (!this.#literal(PREVIOUS) || !this.#hash(input.bytes, PREVIOUS_AT)) return false;
    if (!this.#literal(JWT)) return false;
    const jwt = this.#line[this.#at] !== QUOTE;
    if (jwt && !this.#hash(this.#jwt, 0)) return false;
    if (!this.#literal(SEQ)) return false;
    const seq = this.#integer();
    if (seq === undefined || seq < 1 || seq > MAX_UINT64) return false;
    if (!this.#literal(TENANT)) return false;
    if ((input.tenantEnd = this.#text(input.tenantAt, 1, MAX_BYTES.tenantId)) < 0) return false;
    if (!this.#literal(TIMESTAMP)) return false;
    const timestamp = this.#integer();
    if (timestamp === undefined || timestamp > MAX_INT64 || timestamp < -MAX_INT64 - 1n) return false;
    if (!this.#literal(END) || this.#at !== stop) return false;
    if (typeof timestamp === 'bigint') input.view.setBigInt64(TIMESTAMP_AT, timestamp);
    else input.uint64(TIMESTAMP_AT, timestamp);
    input.finish(seq, jwt ? this.#jwt : this.#jwt.subarray(0, 0));
    return true;
  }

  #literal(expected: Uint8Array): boolean {
    const line = this.#line;
    const at = this.#at;
    const { length } = expected;
    if (at + length > this.#stop) return false;
    for (let i = 0; i < length; i += 1) if (line[at + i] !== expected[i]) return false;
    this.#at = at + length;
    return true;
  }

  /** Copies a text to `to` in the input, up to its quote; where it ends there, or -1. */
  #text(to: number, min: number, max: number): number {
    const line = this.#line;
    const out = this.input.bytes;
    const stop = this.#stop;
    const from = this.#at;
    const limit = to + max;
    let at = from;
    let end = to;
    let all = 0;
    for (; at < stop; at += 1, end += 1) {
      let byte = line[at]!;
      if (byte === QUOTE) break;
      if (byte < 0x20 || end >= limit) return -1;
      if (byte === BACKSLASH) {
        const short = SHORT.get(line[at + 1] ?? 0);
        const code = short ?? LONG.get(String.fromCharCode(...line.subarray(at + 1, at + 6)));
        if (code === undefined) return -1;
        byte = code;
        at += short === undefined ? 5 : 1;
      }
      all |= byte;
      out[end] = byte;
    }
    if (at >= stop || end - to < min) return -1;
    if (all > 0x7f && !isUtf8(line.subarray(from, at))) return -1;
    this.#at = at;
    this.input.length(to, end - to);
    return end;
  }

  /** 43 digits of base64 and "=": 32 bytes, in their one encoding (RFC 4648 §3.5). */
  #hash(out: Uint8Array, to: number): boolean {
    const line = this.#line;
    let at = this.#at;
    if (at + 44 > this.#stop || line[at + 43] !== 0x3d) return false;
    let wrong = 0;
    let end = to;
    for (let i = 0; i < 10; i += 1, at += 4, end += 3) {
      const a = BASE64[line[at]!]!;
      const b = BASE64[line[at + 1]!]!;
      const c = BASE64[line[at + 2]!]!;
      const d = BASE64[line[at + 3]!]!;
      wrong |= a | b | c | d;
      out[end] = (a << 2) | (b >> 4);
      out[end + 1] = (b << 4) | (c >> 2);
      out[end + 2] = (c << 6) | d;
    }
    const a = BASE64[line[at]!]!;
    const b = BASE64[line[at + 1]!]!;
    const c = BASE64[line[at + 2]!]!;
    out[end] = (a << 2) | (b >> 4);
    out[end + 1] = (b << 4) | (c >> 2);
    this.#at = at + 4;
    return (wrong | a | b | c) >= 0 && (c & 3) === 0;
  }

  /** A decimal integer up to its quote: a number while that is exact, then a BigInt. */
  #integer(): number | bigint | undefined {
    const line = this.#line;
    const from = this.#at;
    let at = from;
    let value = 0;
    for (; at < this.#stop && at - from < 20; at += 1) {
      const digit = line[at]! - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    const digits = at - from;
    if (digits > 0 && digits <= 16 && value <= Number.MAX_SAFE_INTEGER && line[at] === QUOTE) {
      this.#at = at;
      return line[from] === 0x30 && digits > 1 ? undefined : value;
    }
    return this.#bigInteger();
  }

  #bigInteger(): bigint | undefined {
    const text = String.fromCharCode(...this.#line.subarray(this.#at, Math.min(this.#stop, this.#at + 21)));
    const match = /^(?:0|-?[1-9][0-9]{0,19})(?=")/.exec(text);
    if (match === null) return undefined;
    this.#at += match[0].length;
    return BigInt(match[0]);
  }
}
