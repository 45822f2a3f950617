import { loneSurrogate, utf8, writeLength } from './bytes.ts';

// A call's AAD lives until setAAD() has absorbed it, and calls do not nest, so all of them share one buffer: 64 KiB for
// the caller's part and room for the prefix. Nothing in it is secret.
const scratch = Buffer.alloc(66 * 1024);
let view = scratch.subarray(0, 0);

/**
 * Internal: `prefix ‖ LP(aad)`, valid until the next call of this function.
 *
 * @throws CryptoError `TEXT_INVALID` for a string with a lone surrogate.
 */
export function withAad(prefix: Uint8Array, aad: string | Uint8Array): Uint8Array {
  const at = prefix.length + 8;
  // One UTF-16 unit is at most three bytes of UTF-8.
  const fits = at + (typeof aad === 'string' ? 3 * aad.length : aad.length) <= scratch.length;
  if (!fits) return oversized(prefix, typeof aad === 'string' ? utf8(aad) : aad);
  scratch.set(prefix);
  const length = typeof aad === 'string' ? writeUtf8(aad, at) : writeBytes(aad, at);
  writeLength(scratch, prefix.length, length);
  // Steady traffic has AADs of one length: making a view costs more than filling it.
  if (view.length !== at + length) view = scratch.subarray(0, at + length);
  return view;
}

function oversized(prefix: Uint8Array, aad: Uint8Array): Uint8Array {
  const out = new Uint8Array(prefix.length + 8 + aad.length);
  out.set(prefix);
  writeLength(out, prefix.length, aad.length);
  out.set(aad, prefix.length + 8);
  return out;
}

function writeBytes(bytes: Uint8Array, at: number): number {
  scratch.set(bytes, at);
  return bytes.length;
}

function writeUtf8(text: string, at: number): number {
  if (!text.isWellFormed()) throw loneSurrogate();
  return scratch.write(text, at, 'utf8');
}
