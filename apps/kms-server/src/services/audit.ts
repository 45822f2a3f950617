import {
  type AuditEntry as Entry,
  type AuditStore,
  type Checkpointer,
  type KnownCheckpoints,
  encodeCheckpointLine,
  encodeLine,
  formatVerifierKey,
  parseNote,
} from '@minikms/audit-chain';
import type {
  AuditEntry,
  ExportLogResponse,
  GetAuditLogsRequest,
  GetAuditLogsResponse,
  GetCheckpointResponse,
  GetConsistencyProofResponse,
  GetInclusionProofResponse,
  GetReceiptResponse,
  VerifyChainResponse,
} from '@minikms/protocol';
import { setImmediate as turn } from 'node:timers/promises';
import type { Context } from '../rpc/unary.ts';
import { pages, verifyLog } from './audit-verify.ts';

/** What AuditService reads; requests have been validated. */
export interface AuditLog {
  readonly store: AuditStore;
  readonly checkpointer: Checkpointer;
  /** What was handed out, outside of the store. */
  readonly published: Pick<KnownCheckpoints, 'highest'>;
}

const DEFAULT_LIMIT = 100;

/** What a search reads at once, and how often at most: 50,000 entries take about half a second. */
const PAGE = 1000;
const PAGES = 50;

/** An export's message is cut after so many characters, of which each takes three bytes at most: 1 MiB is never reached. */
const MESSAGE = 256 * 1024;

/** There is no index for what is filtered: a search goes back over a bounded part of the log, and its caller goes on. */
export async function getAuditLogs(
  { store }: AuditLog,
  request: GetAuditLogsRequest,
  context: Pick<Context, 'stopIfCancelled'>,
): Promise<GetAuditLogsResponse> {
  const { orgId, offset } = request;
  const limit = request.limit === 0 ? DEFAULT_LIMIT : request.limit;
  let beforeSeq = request.beforeSeq === 0n ? undefined : Number(request.beforeSeq);
  const answer = (entries: readonly Entry[], next: bigint | number | undefined): GetAuditLogsResponse => ({
    entries: entries.map(wireEntry),
    // Before the first there is nothing.
    nextBeforeSeq: next === undefined || next <= 1 ? 0n : BigInt(next),
  });
  if (!isFiltered(request)) {
    const entries = await store.findEntries(orgId, { beforeSeq }, limit, offset);
    return answer(entries, entries.length < limit ? undefined : entries.at(-1)?.seq);
  }
  const found: Entry[] = [];
  let left = offset;
  for (let pages = 0; pages < PAGES; pages++) {
    const page = await store.findEntries(orgId, { beforeSeq }, PAGE, 0);
    context.stopIfCancelled();
    for (const entry of page) {
      beforeSeq = Number(entry.seq);
      if (!matches(request, entry) || left-- > 0) continue;
      found.push(entry);
      if (found.length === limit) return answer(found, beforeSeq);
    }
    if (page.length < PAGE) return answer(found, undefined);
    await turn();
  }
  return answer(found, beforeSeq);
}

function isFiltered({ action, actorId, fromTimestampUs, beforeTimestampUs }: GetAuditLogsRequest): boolean {
  return action !== '' || actorId !== '' || fromTimestampUs !== undefined || beforeTimestampUs !== undefined;
}

function matches(request: GetAuditLogsRequest, { action, actorId, timestampUs }: Entry): boolean {
  const { fromTimestampUs, beforeTimestampUs } = request;
  return (
    (request.action === '' || action === request.action) &&
    (request.actorId === '' || actorId === request.actorId) &&
    (fromTimestampUs === undefined || timestampUs >= fromTimestampUs) &&
    (beforeTimestampUs === undefined || timestampUs < beforeTimestampUs)
  );
}

export async function verifyChain(
  { store, checkpointer, published }: AuditLog,
  { orgId }: { readonly orgId: string },
  context: Pick<Context, 'stopIfCancelled'>,
): Promise<VerifyChainResponse> {
  // Before the log is read: it covers nothing that is newer.
  const known = await published.highest(orgId);
  return verifyLog(store, checkpointer.key, orgId, known, () => context.stopIfCancelled());
}

/** Entries up to the newest checkpoint, which is made now and stands at the end. */
export async function* exportLog(
  { store, checkpointer }: AuditLog,
  { orgId, afterSeq }: { readonly orgId: string; readonly afterSeq: bigint },
): AsyncGenerator<ExportLogResponse> {
  const checkpoint = await checkpointer.checkpoint(orgId);
  for await (const entries of pages(store, orgId, Number(afterSeq), checkpoint.size)) yield* messages(entries);
  yield { lines: Buffer.from(`${encodeCheckpointLine(checkpoint.note)}\n`) };
}

function* messages(entries: readonly Entry[]): Generator<ExportLogResponse> {
  let lines = '';
  for (const entry of entries) {
    lines += `${encodeLine(entry)}\n`;
    if (lines.length < MESSAGE) continue;
    yield { lines: Buffer.from(lines) };
    lines = '';
  }
  if (lines !== '') yield { lines: Buffer.from(lines) };
}

export async function getCheckpoint(
  { checkpointer }: AuditLog,
  { orgId }: { readonly orgId: string },
): Promise<GetCheckpointResponse> {
  const { note, size } = await checkpointer.checkpoint(orgId);
  return {
    checkpoint: note,
    size: BigInt(size),
    verifierKey: formatVerifierKey(checkpointer.key),
    // All but the log's own.
    cosignatures: parseNote(note).signatures.length - 1,
  };
}

export async function getInclusionProof(
  { checkpointer }: AuditLog,
  { orgId, seq }: { readonly orgId: string; readonly seq: bigint },
): Promise<GetInclusionProofResponse> {
  const { hashes, leafHash, checkpoint } = await checkpointer.inclusionProof(orgId, Number(seq));
  return { hashes: hashes.map(buffer), leafHash: buffer(leafHash), checkpoint: checkpoint.note };
}

export async function getConsistencyProof(
  { checkpointer }: AuditLog,
  { orgId, oldSize }: { readonly orgId: string; readonly oldSize: bigint },
): Promise<GetConsistencyProofResponse> {
  const { hashes, checkpoint } = await checkpointer.consistencyProof(orgId, Number(oldSize));
  return { hashes: hashes.map(buffer), checkpoint: checkpoint.note };
}

export async function getReceipt(
  { checkpointer }: AuditLog,
  { orgId, seq }: { readonly orgId: string; readonly seq: bigint },
): Promise<GetReceiptResponse> {
  return { receipt: await checkpointer.receipt(orgId, Number(seq)) };
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function wireEntry(entry: Entry): AuditEntry {
  const hex = (bytes: Uint8Array): string => buffer(bytes).toString('hex');
  return {
    id: `${entry.tenantId}#${entry.seq}`,
    previousHash: hex(entry.previousHash),
    entryHash: hex(entry.entryHash),
    timestamp: rfc3339(entry.timestampUs),
    action: entry.action,
    actorId: entry.actorId,
    orgId: entry.tenantId,
    details: entry.details,
    requestJwtHash: hex(entry.requestJwtHash),
    seq: entry.seq,
    timestampUs: entry.timestampUs,
  };
}

/** With microseconds; `''` for a time that RFC 3339 §1 cannot express, years 0 to 9999. */
function rfc3339(us: bigint): string {
  const ms = us >= 0n ? us / 1000n : (us - 999n) / 1000n;
  if (ms < -62_167_219_200_000n || ms > 253_402_300_799_999n) return '';
  const micros = String(us - ms * 1000n).padStart(3, '0');
  return new Date(Number(ms)).toISOString().replace('Z', `${micros}Z`);
}
