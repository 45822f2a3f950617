import { concat, equal, uint64, utf8, verifySignature } from '@minikms/crypto-core';
import { AuditError } from './errors.ts';
import { formatKey, namedKey, type NoteSignature, type NoteSigner, parseKey, parseNote } from './note.ts';

/** C2SP signed-note: timestamped Ed25519 cosignatures have this type, in their keys and key ids. */
const COSIGNATURE = 0x04;
const TIMESTAMP_LENGTH = 8;
const SIGNATURE_LENGTH = 64;

/** The Ed25519 public key of a witness (spec/audit-chain.md §10, C2SP tlog-cosignature). */
export interface WitnessKey {
  readonly type: 'cosignature/v1';
  readonly name: string;
  /** The first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x04 ‖ public key). */
  readonly id: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** That a witness saw a checkpoint, and nothing that contradicts it. */
export interface Cosignature {
  readonly key: WitnessKey;
  /** Seconds since 1970, by the clock of the witness. */
  readonly timestamp: number;
}

/** @throws AuditError `KEY_MALFORMED` for a name that a note cannot carry, or unless the key is 32 bytes. */
export function witnessKey(name: string, publicKey: Uint8Array): WitnessKey {
  return { type: 'cosignature/v1', ...namedKey(name, publicKey, COSIGNATURE) };
}

/** `name+hash+base64`. */
export function formatWitnessKey(key: WitnessKey): string {
  return formatKey(key, COSIGNATURE);
}

/** @throws AuditError `KEY_MALFORMED` for anything but the Ed25519 key of a witness whose hash is right. */
export function parseWitnessKey(text: string): WitnessKey {
  return { type: 'cosignature/v1', ...parseKey(text, COSIGNATURE) };
}

/**
 * The cosignatures of a note by these witnesses, one for each at most, the newest; other signatures are ignored.
 *
 * @throws AuditError `NOTE_MALFORMED`; `NOTE_SIGNATURE_INVALID` when a signature names one of the keys and is not by it.
 */
export function cosignatures(note: string, keys: readonly WitnessKey[]): readonly Cosignature[] {
  const { text, signatures } = parseNote(note);
  const found = new Map<WitnessKey, Cosignature>();
  for (const signature of signatures) {
    const cosignature = readCosignature(text, signature, keys);
    if (cosignature === undefined) continue;
    const other = found.get(cosignature.key);
    if (other === undefined || other.timestamp < cosignature.timestamp) found.set(cosignature.key, cosignature);
  }
  return [...found.values()];
}

/**
 * What a signature of a note with this text says, if it is by one of these witnesses.
 *
 * @throws AuditError `NOTE_SIGNATURE_INVALID` when it names one of the keys and is not by it.
 */
export function readCosignature(
  text: string,
  { name, id, signature }: NoteSignature,
  keys: readonly WitnessKey[],
): Cosignature | undefined {
  const named = keys.filter((key) => key.name === name && equal(key.id, id));
  if (named.length === 0) return undefined;
  const key = named.find(({ publicKey }) => {
    if (signature.length !== TIMESTAMP_LENGTH + SIGNATURE_LENGTH) return false;
    return verifySignature(publicKey, message(text, timestampOf(signature)), signature.subarray(TIMESTAMP_LENGTH));
  });
  const timestamp = key === undefined ? Infinity : Number(timestampOf(signature));
  // C2SP tlog-cosignature: a timestamp must not exceed 2^63 - 1; none that a clock shows comes near 2^53.
  if (key === undefined || !Number.isSafeInteger(timestamp)) {
    throw new AuditError('NOTE_SIGNATURE_INVALID', `the cosignature of ${name} does not fit the text`);
  }
  return { key, timestamp };
}

/**
 * What a witness adds to a note with this text.
 *
 * @param timestamp seconds since 1970.
 */
export function cosign(text: string, { name, signer }: NoteSigner, timestamp: number): NoteSignature {
  const { id } = witnessKey(name, signer.publicKey);
  const signature = signer.sign(message(text, BigInt(timestamp)));
  return { name, id, signature: concat(uint64(timestamp), signature) };
}

/** C2SP tlog-cosignature: a header line, a line with the time, and the text of the note. */
function message(text: string, timestamp: bigint): Uint8Array {
  return utf8(`cosignature/v1\ntime ${timestamp}\n${text}`);
}

function timestampOf(signature: Uint8Array): bigint {
  return new DataView(signature.buffer, signature.byteOffset).getBigUint64(0);
}
