import { type Checkpoint, openCheckpoint, parseOrigin } from './checkpoint.ts';
import { type AuditEntry, entryHash } from './entry.ts';
import { AuditError } from './errors.ts';
import { encodeLine, parseLine } from './line.ts';
import { checkTreeNumber, leafHash } from './merkle.ts';
import { base64, fromBase64, parseNote, type VerifierKey } from './note.ts';
import { verifyInclusion } from './proof.ts';

const HEADER = 'c2sp.org/tlog-proof@v1';
/** No tree of a size that a number can hold is deeper. */
const MAX_PROOF = 63;
const MAX_RECEIPT = 524_288;

/** The proof that an entry is in a log, to be checked offline (C2SP tlog-proof). */
export interface Receipt {
  /** seq − 1. */
  readonly index: number;
  /** From the leaf's sibling up. */
  readonly proof: readonly Uint8Array[];
  /** The signed note, as the log issued it. */
  readonly checkpoint: string;
  /** The entry itself: tlog-proof's extra data is its line in an export. */
  readonly entry?: AuditEntry;
}

/** @throws AuditError `TREE_INVALID`, `NOTE_MALFORMED`, `ENTRY_INVALID`, `RECEIPT_MALFORMED`. */
export function formatReceipt({ index, proof, checkpoint, entry }: Receipt): string {
  checkTreeNumber('an index', index);
  parseNote(checkpoint);
  if (proof.length > MAX_PROOF || proof.some((hash) => hash.length !== 32)) throw malformed('the proof');
  const extra = entry === undefined ? [] : [`extra ${Buffer.from(encodeLine(entry)).toString('base64')}`];
  return [HEADER, ...extra, `index ${index}`, ...proof.map(base64), '', checkpoint].join('\n');
}

/**
 * The parts of a receipt, nothing of which is verified.
 *
 * @throws AuditError `RECEIPT_MALFORMED`, or `NOTE_MALFORMED` for its checkpoint.
 */
export function parseReceipt(text: string): Receipt {
  if (text.length > MAX_RECEIPT) throw malformed('it is too long');
  const split = text.indexOf('\n\n');
  if (split < 0) throw malformed('it has no empty line');
  const [header, ...lines] = text.slice(0, split).split('\n');
  if (header !== HEADER) throw malformed('its first line');
  const entry = lines[0]?.startsWith('extra ') === true ? entryOf(lines.shift()!.slice(6)) : undefined;
  const index = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? '')?.[1];
  if (index === undefined || !Number.isSafeInteger(Number(index))) throw malformed('its index');
  const proof = lines.map((line) => fromBase64(line));
  if (proof.length > MAX_PROOF || proof.some((hash) => hash?.length !== 32)) throw malformed('its proof');
  const checkpoint = text.slice(split + 2);
  parseNote(checkpoint);
  const hashes = proof.filter((hash) => hash !== undefined);
  return { index: Number(index), proof: hashes, checkpoint, ...(entry === undefined ? {} : { entry }) };
}

/** What a receipt proved. */
export interface ProvenEntry {
  readonly entry: AuditEntry;
  readonly checkpoint: Checkpoint;
}

/**
 * Checks that the entry of a receipt, or the one that is given, was in the log whose checkpoint one of the keys signed.
 * It does not show that the entries before it follow from one another.
 *
 * @throws AuditError `RECEIPT_MALFORMED`; `RECEIPT_INVALID` with what does not fit; as `openCheckpoint`.
 */
export function verifyReceipt(text: string, keys: readonly VerifierKey[], given?: AuditEntry): ProvenEntry {
  const receipt = parseReceipt(text);
  const entry = given ?? receipt.entry;
  if (entry === undefined) throw invalid('it holds no entry, and none was given');
  const hash = entryHash(entry);
  if (!Buffer.from(hash).equals(entry.entryHash)) throw invalid('the entry was changed: it does not give its hash');
  const checkpoint = openCheckpoint(receipt.checkpoint, keys);
  if (entry.seq !== BigInt(receipt.index) + 1n) throw invalid('it is the receipt of another entry');
  if (tenantOf(checkpoint.origin) !== entry.tenantId) throw invalid('its checkpoint is of another tenant');
  if (!verifyInclusion(leafHash(hash), receipt.index, checkpoint.size, receipt.proof, checkpoint.root)) {
    throw invalid('its proof does not lead from the entry to the checkpoint');
  }
  return { entry, checkpoint };
}

function tenantOf(origin: string): string | undefined {
  try {
    return parseOrigin(origin).tenantId;
  } catch {
    return undefined;
  }
}

function entryOf(extra: string): AuditEntry {
  const bytes = fromBase64(extra);
  if (bytes === undefined) throw malformed('its extra data');
  try {
    return parseLine(bytes);
  } catch (cause) {
    throw new AuditError('RECEIPT_MALFORMED', 'not a receipt of an audit log: its extra data is no entry', { cause });
  }
}

function malformed(what: string): AuditError {
  return new AuditError('RECEIPT_MALFORMED', `not a receipt: ${what} is not as C2SP tlog-proof has it`);
}

function invalid(why: string): AuditError {
  return new AuditError('RECEIPT_INVALID', `the receipt proves nothing: ${why}`);
}
