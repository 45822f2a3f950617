import {
  type AuditEntry,
  AuditError,
  type AuditStore,
  ChainVerifier,
  type KnownCheckpoint,
  leafHash,
  openCheckpoint,
  TreeFrontier,
  type VerifierKey,
} from '@minikms/audit-chain';
import { equal } from '@minikms/crypto-core';
import type { VerifyChainResponse } from '@minikms/protocol';
import { setImmediate as turn } from 'node:timers/promises';

/** Entries that are read at once; checking them takes about five milliseconds. */
const PAGE = 1000;

type Readable = Pick<AuditStore, 'checkpoint' | 'entriesAfter' | 'head'>;
type Bad = Pick<VerifyChainResponse, 'firstBadSeq' | 'reason' | 'reasonCode'>;

/** The entries of a log after a seq, page by page, up to `last`; between pages others get their turn. */
export async function* pages(
  store: Pick<AuditStore, 'entriesAfter'>,
  tenantId: string,
  after: number,
  last: number,
): AsyncGenerator<readonly AuditEntry[]> {
  for (let seq = after; seq < last;) {
    const entries = await store.entriesAfter(tenantId, seq, Math.min(PAGE, last - seq));
    const newest = entries.at(-1);
    if (newest === undefined) return;
    yield entries;
    // A seq that does not grow would not end; whoever reads has seen by now that it is wrong.
    if (newest.seq <= BigInt(seq)) return;
    seq = Number(newest.seq);
    await turn();
  }
}

/**
 * Checks a log as it stands in the store, from its first entry to its head, in constant memory: every field and link, the
 * head, and the tree against the newest checkpoint, which must be signed by `key`.
 *
 * @param known the highest checkpoint that is known outside of the store: who empties a log takes its checkpoints with it.
 */
export async function verifyLog(
  store: Readable,
  key: VerifierKey,
  tenantId: string,
  known: KnownCheckpoint | undefined,
  stopIfCancelled: () => void,
): Promise<VerifyChainResponse> {
  // The checkpoint first: it covers nothing that is newer than the head.
  const checkpoint = await store.checkpoint(tenantId);
  const head = await store.head(tenantId);
  const chain = new ChainVerifier();
  const tree = new TreeFrontier();
  let root = checkpoint?.size === 0 ? tree.root() : undefined;
  const epoch = head?.epoch ?? 1;
  let knownRoot: Uint8Array | undefined;
  const answer = (bad: Bad | undefined, covered: number): VerifyChainResponse => ({
    valid: bad === undefined,
    entriesChecked: BigInt(chain.size),
    covered: BigInt(covered),
    ...(bad ?? { firstBadSeq: 0n, reasonCode: '', reason: '' }),
  });
  for await (const entries of pages(store, tenantId, 0, head?.seq ?? 0)) {
    stopIfCancelled();
    for (const entry of entries) {
      const fault = faultOf(chain, entry);
      if (fault !== undefined) return answer(fault, 0);
      tree.append(leafHash(entry.entryHash));
      if (tree.size === checkpoint?.size) root = tree.root();
      if (tree.size === known?.size) knownRoot = tree.root();
    }
  }
  const seq = BigInt(chain.size + 1);
  if (chain.size !== (head?.seq ?? 0))
    return answer(bad('LOG_TRUNCATED', seq, `the log has ${head?.seq} entries, and entry ${seq} is missing`), 0);
  if (head !== undefined && !equal(chain.head, head.hash))
    return answer(bad('LINK_BROKEN', seq - 1n, 'the last entry is not the one that the log ends with'), 0);
  if (known !== undefined && (known.epoch > epoch || (known.epoch === epoch && known.size > chain.size)))
    return answer(bad('LOG_TRUNCATED', seq, `${known.size} entries were signed for, and entry ${seq} is missing`), 0);
  if (known?.epoch === epoch && knownRoot !== undefined && !equal(knownRoot, known.root))
    return answer(bad('ROOT_MISMATCH', 1n, 'the entries are not those that were signed for'), 0);
  if (checkpoint === undefined) return answer(undefined, 0);
  if (checkpoint.size > chain.size)
    return answer(
      bad('LOG_TRUNCATED', seq, `${checkpoint.size} entries were signed for, and entry ${seq} is missing`),
      0,
    );
  const signed = signedRoot(checkpoint.note, key);
  if (signed === undefined || signed.size !== checkpoint.size)
    return answer(
      bad('CHECKPOINT_SIGNATURE_INVALID', 0n, 'the newest checkpoint is not signed by the key of this log'),
      0,
    );
  if (root === undefined || !equal(root, signed.root))
    return answer(bad('ROOT_MISMATCH', 1n, 'the entries are not those that the newest checkpoint was signed for'), 0);
  return answer(undefined, checkpoint.size);
}

function bad(reasonCode: string, firstBadSeq: bigint, reason: string): Bad {
  return { firstBadSeq, reasonCode, reason };
}

function faultOf(chain: ChainVerifier, entry: AuditEntry): Bad | undefined {
  try {
    const fault = chain.add(entry);
    return fault && bad(fault.code, BigInt(fault.first ?? chain.size + 1), fault.message);
  } catch (error) {
    if (!(error instanceof AuditError)) throw error;
    return bad(error.code, BigInt(chain.size + 1), error.message);
  }
}

function signedRoot(note: string, key: VerifierKey): { size: number; root: Uint8Array } | undefined {
  try {
    return openCheckpoint(note, [key]);
  } catch {
    return undefined;
  }
}
