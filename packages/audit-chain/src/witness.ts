import { equal } from '@minikms/crypto-core';
import { type Cosignature, readCosignature, type WitnessKey } from './cosignature.ts';
import { AuditError } from './errors.ts';
import { base64, type NoteSignature, parseNote, parseSignatures } from './note.ts';

/** Bytes of an answer that are read. */
const MAX_ANSWER = 16_384;
/** Seconds by which the clock of a witness and ours may differ. */
const MAX_SKEW = 600;

/** Who cosigns checkpoints (C2SP tlog-witness). */
export interface Witness {
  readonly key: WitnessKey;
  /** Its submission prefix: https, or http to this machine. */
  readonly url: string;
}

export interface Submission {
  /** The checkpoint, with or without cosignatures. */
  readonly note: string;
  readonly size: number;
  /** The consistency proof from an older size. */
  readonly proof: (oldSize: number) => Promise<readonly Uint8Array[]>;
}

export interface Transport {
  readonly fetch: typeof globalThis.fetch;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** For the whole exchange. */
  readonly timeoutMs: number;
}

/**
 * - `cosigned`: its cosignature, which was verified.
 * - `ahead`: it has seen a checkpoint of this log that is larger than the one submitted.
 * - `forked`: it has seen a checkpoint of this log that contradicts the one submitted.
 */
export type Answer =
  | { readonly kind: 'cosigned'; readonly signature: NoteSignature; readonly cosignature: Cosignature }
  | { readonly kind: 'ahead'; readonly size: number }
  | { readonly kind: 'forked' };

/**
 * Asks a witness for its cosignature (C2SP tlog-witness, add-checkpoint). When it has seen another size than `oldSize` it is
 * asked a second time, with the proof from there.
 *
 * @param oldSize of the checkpoint that it cosigned last; 0 when that is not known.
 * @throws AuditError `WITNESS_FAILED` when it cannot be reached, does not answer in time, refuses, or answers with
 * anything but its cosignature of this checkpoint. Whatever `proof` throws.
 */
export async function addCheckpoint(
  witness: Witness,
  submission: Submission,
  oldSize: number,
  transport: Transport,
): Promise<Answer> {
  const signal = AbortSignal.timeout(transport.timeoutMs);
  const first = await submit(witness, submission, oldSize, transport, signal);
  if (first.kind !== 'conflict') return first;
  // C2SP tlog-witness: 409 with the size that it has.
  const seen = first.size ?? oldSize;
  if (seen > submission.size) return { kind: 'ahead', size: seen };
  if (seen === oldSize) return conflictAt(witness, seen, submission);
  const second = await submit(witness, submission, seen, transport, signal);
  if (second.kind !== 'conflict') return second;
  const now = second.size ?? seen;
  if (now > submission.size) return { kind: 'ahead', size: now };
  return conflictAt(witness, now, submission);
}

/** C2SP tlog-witness: 409 as well when it has another root for the same size. */
function conflictAt(witness: Witness, seen: number, { size }: Submission): Answer {
  if (seen === size) return { kind: 'forked' };
  throw failed(witness, 'it refuses the size that it gave, or gave none (409)');
}

type Reply = Answer | { readonly kind: 'conflict'; readonly size: number | undefined };

async function submit(
  witness: Witness,
  { note, proof }: Submission,
  oldSize: number,
  { fetch, now }: Transport,
  signal: AbortSignal,
): Promise<Reply> {
  const hashes = await proof(oldSize);
  const body = [`old ${oldSize}`, ...hashes.map(base64), '', note].join('\n');
  const { status, type, text } = await post(witness, body, fetch, signal);
  switch (status) {
    case 200:
      return { kind: 'cosigned', ...cosignatureIn(text, parseNote(note).text, witness, now()) };
    case 409:
      return { kind: 'conflict', size: type === 'text/x.tlog.size' ? sizeIn(text) : undefined };
    case 422:
      // The proof was made from our own tree: it is the checkpoint at the old size that was another.
      return { kind: 'forked' };
    case 403:
      throw failed(witness, 'it does not know the key of this log (403)');
    case 404:
      throw failed(witness, 'it does not know this log (404)');
    default:
      throw failed(witness, `it answered with status ${status}`);
  }
}

async function post(
  witness: Witness,
  body: string,
  fetch: Transport['fetch'],
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly type: string; readonly text: string }> {
  try {
    const response = await fetch(`${witness.url.replace(/\/+$/, '')}/add-checkpoint`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'text/plain; charset=utf-8' },
      redirect: 'error',
      signal,
    });
    const type = (response.headers.get('content-type') ?? '').split(';', 1)[0]!.trim().toLowerCase();
    const { status } = response;
    if (status === 200 || status === 409) return { status, type, text: await read(response) };
    await response.body?.cancel();
    return { status, type, text: '' };
  } catch (cause) {
    const why = cause instanceof Error && cause.name === 'TimeoutError' ? 'it did not answer in time' : 'no answer';
    throw failed(witness, why, cause);
  }
}

async function read({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop cancels what is left of it.
  for await (const chunk of body ?? []) {
    chunks.push(chunk as Uint8Array);
    length += (chunk as Uint8Array).length;
    if (length > MAX_ANSWER) throw new Error(`the answer is longer than ${MAX_ANSWER} bytes`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function sizeIn(text: string): number | undefined {
  const size = /^(0|[1-9][0-9]{0,15})\n$/.exec(text)?.[1];
  return size !== undefined && Number.isSafeInteger(Number(size)) ? Number(size) : undefined;
}

function cosignatureIn(
  lines: string,
  text: string,
  witness: Witness,
  nowMs: number,
): { readonly signature: NoteSignature; readonly cosignature: Cosignature } {
  const { key } = witness;
  let signature: NoteSignature | undefined;
  let cosignature: Cosignature | undefined;
  try {
    // C2SP tlog-witness: cosignatures from unknown keys are ignored.
    signature = parseSignatures(lines).find(({ name, id }) => name === key.name && equal(id, key.id));
    cosignature = signature && readCosignature(text, signature, [key]);
  } catch (cause) {
    throw failed(witness, 'its answer is not its cosignature of this checkpoint', cause);
  }
  if (signature === undefined || cosignature === undefined)
    throw failed(witness, 'its answer is not signed by its key');
  const skew = Math.abs(cosignature.timestamp - nowMs / 1000);
  if (skew > MAX_SKEW) throw failed(witness, `its clock and ours differ by ${Math.round(skew)} seconds`);
  return { signature, cosignature };
}

function failed({ key }: Witness, why: string, cause?: unknown): AuditError {
  return new AuditError('WITNESS_FAILED', `no cosignature of ${key.name}: ${why}`, { cause });
}
