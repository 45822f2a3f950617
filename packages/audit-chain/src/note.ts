import { createHash } from 'node:crypto';
import { concat, equal, type Signer, utf8, verifySignature } from '@minikms/crypto-core';
import { AuditError } from './errors.ts';

/** C2SP signed-note: "MUST accept at least up to 16 signatures". */
const MAX_SIGNATURES = 100;
const MAX_NOTE = 65_536;
const ED25519 = 0x01;
/** C2SP signed-note: key names are not empty and hold neither Unicode spaces nor plus. */
const KEY_NAME = /^[^\p{White_Space}\p{Cc}+]+$/u;

/** An Ed25519 public key by which notes are checked. */
export interface VerifierKey {
  readonly name: string;
  /** The first 4 bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key). */
  readonly id: Uint8Array;
  readonly publicKey: Uint8Array;
}

export interface NoteSigner {
  readonly name: string;
  readonly signer: Signer;
}

export interface NoteSignature {
  readonly name: string;
  readonly id: Uint8Array;
  readonly signature: Uint8Array;
}

export interface Note {
  /** Ends in a newline, and is what was signed. */
  readonly text: string;
  /** Not verified, those of unknown keys included. */
  readonly signatures: readonly NoteSignature[];
}

/** @throws AuditError `KEY_MALFORMED` for a name that a note cannot carry, or unless the key is 32 bytes. */
export function verifierKey(name: string, publicKey: Uint8Array): VerifierKey {
  return namedKey(name, publicKey, ED25519);
}

/** `name+hash+base64`, the form in which auditors are given a key. */
export function formatVerifierKey(key: VerifierKey): string {
  return formatKey(key, ED25519);
}

/** @throws AuditError `KEY_MALFORMED` for anything but an Ed25519 key whose hash is right. */
export function parseVerifierKey(text: string): VerifierKey {
  return parseKey(text, ED25519);
}

/** Internal: a key of a signature type, all of which are Ed25519 keys here. Throws as {@link verifierKey}. */
export function namedKey(name: string, publicKey: Uint8Array, type: number): VerifierKey {
  if (!name.isWellFormed() || !KEY_NAME.test(name)) throw badKey('a key name holds no spaces and no plus');
  if (publicKey.length !== 32) throw badKey('an Ed25519 public key is 32 bytes');
  const id = createHash('sha256').update(`${name}\n`).update(Uint8Array.of(type)).update(publicKey).digest();
  return { name, id: Uint8Array.from(id.subarray(0, 4)), publicKey: publicKey.slice() };
}

/** Internal: {@link formatVerifierKey} for a signature type. */
export function formatKey(key: VerifierKey, type: number): string {
  return `${key.name}+${Buffer.from(key.id).toString('hex')}+${base64(concat(Uint8Array.of(type), key.publicKey))}`;
}

/** Internal: {@link parseVerifierKey} for a signature type. */
export function parseKey(text: string, type: number): VerifierKey {
  const match = /^([^+]+)\+([0-9a-f]{8})\+([^\s]+)$/.exec(text);
  const data = fromBase64(match?.[3] ?? '');
  if (match === null || data === undefined) throw badKey('a verifier key is written name+hash+base64');
  if (data[0] !== type || data.length !== 33) throw badKey(`not an Ed25519 key of signature type 0x0${type}`);
  const key = namedKey(match[1]!, data.subarray(1), type);
  if (formatKey(key, type) !== text) throw badKey('the hash in the key is not that of its name and bytes');
  return key;
}

/**
 * A text with a signature line for each signer.
 *
 * @throws AuditError `NOTE_MALFORMED` for a text that no note can carry.
 */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  const lines = signers.map(({ name, signer }) => {
    const { id } = verifierKey(name, signer.publicKey);
    return formatSignature({ name, id, signature: signer.sign(utf8(text)) });
  });
  const note = `${text}\n${lines.join('')}`;
  if (parseNote(note).text !== text) throw badNote('its text would not be read back');
  return note;
}

/**
 * The text and signature lines of a note, nothing of which is verified.
 *
 * @throws AuditError `NOTE_MALFORMED`.
 */
export function parseNote(note: string): Note {
  if (note.length > MAX_NOTE) throw badNote('it is too long');
  // C2SP signed-note: no control characters below U+0020 other than newline.
  if (!note.isWellFormed() || /[^\n\P{Cc}\u007f-\u009f]/u.test(note)) throw badNote('it holds control characters');
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) throw badNote('text, empty line and signatures are not all there');
  const text = note.slice(0, split + 1);
  return { text, signatures: parseSignatures(note.slice(split + 2)) };
}

/** Internal: signature lines, each ended by a newline. Throws as {@link parseNote}. */
export function parseSignatures(text: string): readonly NoteSignature[] {
  const lines = text.split('\n');
  if (lines.pop() !== '' || lines.length === 0) throw badNote('it has no signature, or its last line no end');
  if (lines.length > MAX_SIGNATURES) throw badNote(`it has more than ${MAX_SIGNATURES} signatures`);
  return lines.map(parseSignature);
}

/** Internal: the line of a signature, with its newline. */
export function formatSignature({ name, id, signature }: NoteSignature): string {
  return `— ${name} ${base64(concat(id, signature))}\n`;
}

/**
 * The text of a note that one of the keys signed, and the names of those that did. Signatures of other keys are ignored.
 *
 * @throws AuditError `NOTE_MALFORMED`; `NOTE_SIGNATURE_INVALID` when a signature names one of the keys and is not by
 * it; `NOTE_UNSIGNED` when none does.
 */
export function openNote(
  note: string,
  keys: readonly VerifierKey[],
): { readonly text: string; readonly signedBy: readonly VerifierKey[] } {
  const { text, signatures } = parseNote(note);
  const signedBy = new Set<VerifierKey>();
  for (const { name, id, signature } of signatures) {
    const named = keys.filter((key) => key.name === name && equal(key.id, id));
    if (named.length === 0) continue;
    const key = named.find(({ publicKey }) => verifySignature(publicKey, utf8(text), signature));
    if (key === undefined) throw new AuditError('NOTE_SIGNATURE_INVALID', 'the signature does not fit the text');
    signedBy.add(key);
  }
  if (signedBy.size === 0) throw new AuditError('NOTE_UNSIGNED', 'no signature is by a key that was given');
  return { text, signedBy: [...signedBy] };
}

function parseSignature(line: string): NoteSignature {
  const match = /^— ([^ ]+) ([^ ]+)$/.exec(line);
  const name = match?.[1] ?? '';
  const data = fromBase64(match?.[2] ?? '');
  if (!KEY_NAME.test(name) || data === undefined || data.length < 5) throw badNote('a signature line is malformed');
  return { name, id: data.subarray(0, 4), signature: data.subarray(4) };
}

/** Standard base64 in its one encoding (RFC 4648 §4), or nothing. */
export function fromBase64(text: string): Uint8Array | undefined {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'));
  return base64(bytes) === text ? bytes : undefined;
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64');
}

function badKey(why: string): AuditError {
  return new AuditError('KEY_MALFORMED', `not a verifier key: ${why}`);
}

function badNote(why: string): AuditError {
  return new AuditError('NOTE_MALFORMED', `not a signed note: ${why}`);
}
