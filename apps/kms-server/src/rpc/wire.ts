import { BinaryReader, type BinaryWriter } from '@bufbuild/protobuf/wire';
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

/**
 * Decodes a request.
 *
 * @throws ServerError `REQUEST_MALFORMED` for anything that is not a message of this type with UTF-8 strings.
 */
export function decodeRequest<T>(codec: Codec<T>, bytes: Uint8Array): T {
  try {
    return codec.decode(new BinaryReader(bytes, strictText));
  } catch (cause) {
    const what = cause instanceof TypeError ? 'a string field is not valid UTF-8' : 'the bytes do not parse';
    throw new ServerError('REQUEST_MALFORMED', `the request is not a message of this method: ${what}`, { cause });
  }
}

/** Encodes a response; the bytes are not shared with anything. */
export function encodeResponse<T>(codec: Codec<T>, message: T): Buffer {
  const bytes = codec.encode(message).finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
