import { HASH_LENGTH, MAX_BYTES } from './bounds.ts';
import { AuditError } from './errors.ts';
import { checkTreeNumber } from './merkle.ts';
import { base64, fromBase64, type NoteSigner, openNote, signNote, type VerifierKey } from './note.ts';

/** What a log says it holds: the root of its tree at a size (C2SP tlog-checkpoint). */
export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Uint8Array;
}

/** Which log: spec/audit-chain.md §5. */
export interface Origin {
  /** A schema-less URL such as `kms.example.com/audit`. */
  readonly log: string;
  readonly tenantId: string;
  /** From 1; a log that had to begin anew has the next. */
  readonly epoch: number;
}

/** @throws AuditError `ORIGIN_INVALID`. */
export function formatOrigin({ log, tenantId, epoch }: Origin): string {
  if (!/^[!-*,-~]{1,255}$/.test(log) || log.endsWith('/')) {
    throw new AuditError('ORIGIN_INVALID', 'a log name is 1 to 255 printable ASCII characters without space and plus');
  }
  if (!tenantId.isWellFormed() || tenantId === '' || Buffer.byteLength(tenantId) > MAX_BYTES.tenantId) {
    throw new AuditError('ORIGIN_INVALID', `a tenant id is 1 to ${MAX_BYTES.tenantId} bytes of UTF-8`);
  }
  if (!Number.isSafeInteger(epoch) || epoch < 1) throw new AuditError('ORIGIN_INVALID', 'epochs count from 1');
  return `${log}/${encodeURIComponent(tenantId)}/${epoch}`;
}

/** @throws AuditError `ORIGIN_INVALID` for what {@link formatOrigin} does not give. */
export function parseOrigin(origin: string): Origin {
  const match = /^(.+)\/([^/]+)\/([1-9][0-9]{0,15})$/.exec(origin);
  if (match !== null) {
    const parsed = { log: match[1]!, tenantId: decode(match[2]!), epoch: Number(match[3]) };
    if (formatOrigin(parsed) === origin) return parsed;
  }
  throw new AuditError('ORIGIN_INVALID', 'an origin is written log name/tenant/epoch');
}

/**
 * A signed checkpoint. Never sign two of one origin that contradict each other.
 *
 * @throws AuditError `ORIGIN_INVALID`, `TREE_INVALID`.
 */
export function signCheckpoint(checkpoint: Checkpoint, signers: readonly NoteSigner[]): string {
  const { origin, size, root } = checkpoint;
  parseOrigin(origin);
  checkTreeNumber('a tree size', size);
  if (root.length !== HASH_LENGTH) throw new AuditError('TREE_INVALID', 'a root is 32 bytes');
  return signNote(`${origin}\n${size}\n${base64(root)}\n`, signers);
}

/**
 * The checkpoint in the text of a note. Extension lines are allowed and left out.
 *
 * @throws AuditError `CHECKPOINT_MALFORMED`.
 */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split('\n');
  const [origin, size, root] = lines;
  if (lines.pop() !== '' || lines.length < 3 || lines.includes('')) throw malformed('three lines at least, none empty');
  const bytes = fromBase64(root!);
  if (!/^(0|[1-9][0-9]{0,15})$/.test(size!) || !Number.isSafeInteger(Number(size))) throw malformed('a size');
  if (bytes?.length !== HASH_LENGTH) throw malformed('a root of 32 bytes in base64');
  return { origin: origin!, size: Number(size), root: bytes };
}

/**
 * The checkpoint of a note that one of the keys signed. A key speaks for the logs of its name: the origin is the name,
 * or begins with it and a slash.
 *
 * @throws AuditError as `openNote`; `CHECKPOINT_MALFORMED`; `NOTE_UNSIGNED` when the key is that of another log.
 */
export function openCheckpoint(note: string, keys: readonly VerifierKey[]): Checkpoint {
  const { text, signedBy } = openNote(note, keys);
  const checkpoint = parseCheckpoint(text);
  if (!signedBy.some(({ name }) => checkpoint.origin === name || checkpoint.origin.startsWith(`${name}/`))) {
    throw new AuditError('NOTE_UNSIGNED', 'the checkpoint is signed by the key of another log');
  }
  return checkpoint;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new AuditError('ORIGIN_INVALID', 'the tenant of an origin is percent-encoded');
  }
}

function malformed(expected: string): AuditError {
  return new AuditError('CHECKPOINT_MALFORMED', `not a checkpoint: expected ${expected}`);
}
