import {
  type AuditEntry as Entry,
  type AuditStore,
  type Checkpointer,
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
import type { Context } from '../rpc/unary.ts';
import { pages, verifyLog } from './audit-verify.ts';

/** What AuditService reads; requests have been validated. */
export interface AuditLog {
  readonly store: AuditStore;
  readonly checkpointer: Checkpointer;
}

const DEFAULT_LIMIT = 100;

export async function getAuditLogs({ store }: AuditLog, request: GetAuditLogsRequest): Promise<GetAuditLogsResponse> {
  const limit = request.limit === 0 ? DEFAULT_LIMIT : request.limit;
  const microseconds = (value: bigint | undefined): number | undefined => (value === undefined ? value : Number(value));
  const filter = {
    action: request.action || undefined,
    actorId: request.actorId || undefined,
    fromUs: microseconds(request.fromTimestampUs),
    beforeUs: microseconds(request.beforeTimestampUs),
    beforeSeq: request.beforeSeq === 0n ? undefined : Number(request.beforeSeq),
  };
  const entries = await store.findEntries(request.orgId, filter, limit, request.offset);
  const last = entries.at(-1);
  return {
    entries: entries.map(wireEntry),
    nextBeforeSeq: entries.length < limit || last === undefined || last.seq === 1n ? 0n : last.seq,
  };
}

export function verifyChain(
  { store, checkpointer }: AuditLog,
  { orgId }: { readonly orgId: string },
  context: Context,
): Promise<VerifyChainResponse> {
  return verifyLog(store, checkpointer.key, orgId, () => context.stopIfCancelled());
}

/** Entries up to the newest checkpoint, which is made now and stands at the end. */
export async function* exportLog(
  { store, checkpointer }: AuditLog,
  { orgId, afterSeq }: { readonly orgId: string; readonly afterSeq: bigint },
): AsyncGenerator<ExportLogResponse> {
  const checkpoint = await checkpointer.checkpoint(orgId);
  for await (const entries of pages(store, orgId, Number(afterSeq), checkpoint.size))
    yield { lines: Buffer.from(entries.map((entry) => `${encodeLine(entry)}\n`).join('')) };
  yield { lines: Buffer.from(`${encodeCheckpointLine(checkpoint.note)}\n`) };
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
