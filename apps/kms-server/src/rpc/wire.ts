import { BinaryReader, type BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { ServerError } from '../errors.ts';

/** What ts-proto generates for a message, as far as the server uses it. */
export interface Codec<T> {
  decode(reader: BinaryReader): T;
  encode(message: T): BinaryWriter;
}

// A lenient decoder maps different byte strings to one text, and so different aads to one; a byte order mark is text.
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function strictText(bytes: Uint8Array): string {
  for (let i = 0; i < bytes.length; i++) {
    if ((bytes[i] as number) > 0x7f) return strict.decode(bytes);
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** How many fields a request may have: those that repeat are bounded before anything is made of them. */
export interface FieldBounds {
  /** Fields of the message itself. */
  readonly fields: number;
  /** The number of a repeated message field, whose fields are counted too, and how many these may be in all. */
  readonly repeated?: { readonly number: number; readonly fields: number };
  /** What to tell a caller who sent more. */
  readonly message: string;
}

/**
 * Decodes a request.
 *
 * @throws ServerError `REQUEST_MALFORMED` for anything that is not a message of this type with UTF-8 strings;
 *   `LIMIT_EXCEEDED` for more fields than `bounds` allow.
 */
export function decodeRequest<T>(codec: Codec<T>, bytes: Uint8Array, bounds: FieldBounds): T {
  try {
    checkFields(bytes, bounds);
    return codec.decode(new BinaryReader(bytes, strictText));
  } catch (cause) {
    if (cause instanceof ServerError) throw cause;
    const what = cause instanceof TypeError ? 'a string field is not valid UTF-8' : 'the bytes do not parse';
    throw new ServerError('REQUEST_MALFORMED', `the request is not a message of this method: ${what}`, { cause });
  }
}

// Eight megabytes hold four million empty items: counting them costs nothing, making them a gigabyte.
function checkFields(bytes: Uint8Array, { fields, repeated, message }: FieldBounds): void {
  // A field takes two bytes at least.
  if (bytes.length <= 2 * fields) return;
  const reader = new BinaryReader(bytes);
  let nested = 0;
  for (let count = 0; reader.pos < reader.len; count++) {
    if (count >= fields) throw new ServerError('LIMIT_EXCEEDED', message);
    const [number, type] = reader.tag();
    if (number !== repeated?.number || type !== WireType.LengthDelimited) {
      reader.skip(type, number);
      continue;
    }
    const end = reader.uint32() + reader.pos;
    if (end > reader.len) throw new RangeError('cut off');
    while (reader.pos < end) {
      if (++nested > repeated.fields) throw new ServerError('LIMIT_EXCEEDED', message);
      const [innerNumber, innerType] = reader.tag();
      reader.skip(innerType, innerNumber);
    }
  }
}

/** Encodes a response; the bytes are not shared with anything. */
export function encodeResponse<T>(codec: Codec<T>, message: T): Buffer {
  const bytes = codec.encode(message).finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
