import { AuditError } from './errors.ts';
import { forked } from './log-tree.ts';
import type { VerifierKey } from './note.ts';
import type { EntryReader, StoredCheckpoint } from './ports.ts';
import { consistencyProof, inclusionProof, verifyConsistency, verifyInclusion } from './proof.ts';
import { formatReceipt, verifyReceipt } from './receipt.ts';
import { missing, TreeReader, treeAt, type TileStore } from './tiles.ts';

/** That an entry is in the log. */
export interface InclusionProof {
  /** From the leaf's sibling up. */
  readonly hashes: readonly Uint8Array[];
  readonly leafHash: Uint8Array;
  readonly checkpoint: StoredCheckpoint;
}

/** That the log of an older size is the beginning of what it is now. */
export interface ConsistencyProof {
  readonly hashes: readonly Uint8Array[];
  readonly checkpoint: StoredCheckpoint;
}

// Each proof is verified before it is handed out: what is read for it may have been changed since it was signed for.

/** @throws AuditError `AUDIT_LOG_FORKED` when what is stored does not prove it; as the store. */
export async function proveInclusion(
  store: TileStore,
  checkpoint: StoredCheckpoint,
  seq: number,
): Promise<InclusionProof> {
  const { tenantId, size, root } = checkpoint;
  const nodes = new TreeReader(store, tenantId, size);
  const [hashes, [leafHash]] = await Promise.all([
    inclusionProof(nodes, seq - 1, size),
    nodes.read([{ level: 0, index: seq - 1 }]),
  ]);
  if (leafHash === undefined) throw missing(seq, seq);
  if (!verifyInclusion(leafHash, seq - 1, size, hashes, root)) throw forked(`entry ${seq} is not in its tree`);
  return { hashes, leafHash, checkpoint };
}

/** @throws AuditError `AUDIT_LOG_FORKED` when what is stored does not prove it; as the store. */
export async function proveConsistency(
  store: TileStore,
  checkpoint: StoredCheckpoint,
  oldSize: number,
): Promise<ConsistencyProof> {
  const { tenantId, size, root } = checkpoint;
  const [hashes, older] = await Promise.all([
    consistencyProof(new TreeReader(store, tenantId, size), oldSize, size),
    treeAt(store, tenantId, oldSize),
  ]);
  if (!verifyConsistency(oldSize, size, older.root(), root, hashes)) {
    throw forked(`its tree of ${oldSize} entries is not the beginning of that of ${size}`);
  }
  return { hashes, checkpoint };
}

/** @throws AuditError `AUDIT_LOG_FORKED` when what is stored does not prove it; as the store. */
export async function receiptOf(
  store: TileStore & Pick<EntryReader, 'entriesAfter'>,
  checkpoint: StoredCheckpoint,
  seq: number,
  key: VerifierKey,
): Promise<string> {
  const [{ hashes }, [entry]] = await Promise.all([
    proveInclusion(store, checkpoint, seq),
    store.entriesAfter(checkpoint.tenantId, seq - 1, 1),
  ]);
  if (entry === undefined) throw missing(seq, seq);
  try {
    const text = formatReceipt({ index: seq - 1, proof: hashes, checkpoint: checkpoint.note, entry });
    verifyReceipt(text, [key]);
    return text;
  } catch (cause) {
    if (!(cause instanceof AuditError)) throw cause;
    throw forked(`entry ${seq} is not the one in its tree (${cause.message})`);
  }
}
