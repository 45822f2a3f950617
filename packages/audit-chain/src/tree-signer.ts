import { equal } from '@minikms/crypto-core';
import { HASH_LENGTH } from './bounds.ts';
import { type Checkpoint, formatOrigin, openCheckpoint, signCheckpoint } from './checkpoint.ts';
import { AuditError } from './errors.ts';
import { behind, compare, emptyTree, forked, grownTree, type LogTree, storedTree, type Waypoint } from './log-tree.ts';
import { type NoteSigner, verifierKey, type VerifierKey } from './note.ts';
import type {
  EntryReader,
  Head,
  KnownCheckpoint,
  KnownCheckpoints,
  StoredCheckpoint,
  StoredNode,
  TreeStore,
} from './ports.ts';

/** Entries from one checkpoint to the next of a log that has many without one: what bounds the nodes that are held. */
const STEP = 2 ** 18;

const EMPTY: Head = { seq: 0, hash: new Uint8Array(HASH_LENGTH), epoch: 1 };

export type SignerStore = Pick<EntryReader, 'entryHashes' | 'head'> &
  Pick<TreeStore, 'checkpoint' | 'nodes' | 'saveCheckpoint'>;

export interface TreeSignerOptions {
  readonly store: SignerStore;
  readonly log: string;
  readonly signer: NoteSigner;
  readonly known: Pick<KnownCheckpoints, 'highest'>;
  /** Logs whose newest tree is kept in memory, at most. */
  readonly trees: number;
}

/**
 * What is wanted: the newest checkpoint that is stored, when there is one; one that covers every entry; or such a one as is
 * reported in the entry of an interval.
 */
export type Wanted = 'newest' | 'every entry' | 'report';

/** A checkpoint, and what was known outside of the store before it was made. */
export interface Made {
  readonly checkpoint: StoredCheckpoint;
  readonly known: KnownCheckpoint | undefined;
}

/** All that is said of a log by others than its entries. */
interface Claim extends Waypoint {
  readonly epoch: number;
}

/**
 * Signs for trees, and for no tree that contradicts one that was signed before: it compares the log with the tree that it
 * has in memory, the checkpoint in the store and the highest one that is known outside, each time and before anything else.
 */
export class TreeSigner {
  readonly key: VerifierKey;
  readonly #options: TreeSignerOptions;
  /** The trees that were signed for last, by tenant; those that were not used for longest come first. */
  readonly #trees = new Map<string, LogTree>();

  /** @throws AuditError `ORIGIN_INVALID` for the name of a log, or a key that does not speak for it; `KEY_MALFORMED`. */
  constructor(options: TreeSignerOptions) {
    const { log, signer } = options;
    this.#options = options;
    this.key = verifierKey(signer.name, signer.signer.publicKey);
    formatOrigin({ log, tenantId: 'tenant', epoch: 1 });
    if (log !== signer.name && !log.startsWith(`${signer.name}/`)) {
      throw new AuditError('ORIGIN_INVALID', `the key of ${signer.name} does not speak for the log ${log}`);
    }
  }

  /**
   * @param seen is told the newest epoch that anybody says the log has.
   * @throws AuditError `AUDIT_LOG_BEHIND`, `AUDIT_LOG_FORKED`; as the store and `known`.
   */
  async make(tenantId: string, wanted: Wanted, seen: (epoch: number) => void): Promise<Made> {
    const { store } = this.#options;
    let refused: LogTree | undefined;
    let target: number | undefined;
    for (;;) {
      // The head is read last: whatever was signed before has its entries by then.
      const memory = this.#recall(tenantId);
      const [stored, known] = await Promise.all([store.checkpoint(tenantId), this.#options.known.highest(tenantId)]);
      const head = (await store.head(tenantId)) ?? EMPTY;
      const claims = [
        ...(memory === undefined ? [] : [{ ...memory, by: 'the tree that was signed for last' }]),
        ...(stored === undefined ? [] : [{ ...stored, by: 'the checkpoint that is stored' }]),
        ...(known === undefined ? [] : [{ ...known, by: 'a checkpoint that is known outside of the store' }]),
      ];
      seen(Math.max(head.epoch, ...claims.map(({ epoch }) => epoch)));
      checkHead(head, claims);
      const current = stored?.epoch === head.epoch ? this.#opened(tenantId, stored) : undefined;
      if (refused !== undefined && refused.epoch === head.epoch && (current?.size ?? 0) < refused.size) {
        throw forked('the store refuses its checkpoint and has none that is larger');
      }
      const nodes: StoredNode[] = [];
      const waypoints = claims.filter(({ epoch }) => epoch === head.epoch).toSorted((a, b) => a.size - b.size);
      let tree = await this.#start(tenantId, head, memory, current);
      for (const waypoint of waypoints) tree = await this.#pass(tenantId, tree, waypoint, nodes);
      checkEnd(tree, head);
      if (head.seq === 0) return { checkpoint: this.#sign(tenantId, tree), known };
      target ??= wanted === 'newest' && current !== undefined ? current.size : head.seq;
      if (current !== undefined && current.size === tree.size && current.size >= target) {
        // Again, for what it says about the interval; when a larger one came between, that is reported with the next.
        if (wanted === 'report') await store.saveCheckpoint(current, [], true);
        this.#remember(tenantId, tree);
        return { checkpoint: current, known };
      }
      const made = await this.#grow(tenantId, tree, head, nodes, wanted === 'report');
      if ('checkpoint' in made) return { checkpoint: made.checkpoint, known };
      refused = made.refused;
    }
  }

  /** The checkpoint in the store, which must be this log's own. */
  #opened(tenantId: string, stored: StoredCheckpoint): StoredCheckpoint {
    const { epoch, size, root, note } = stored;
    let found: Checkpoint;
    try {
      found = openCheckpoint(note, [this.key]);
    } catch (cause) {
      if (!(cause instanceof AuditError)) throw cause;
      throw forked(`the checkpoint that is stored is not signed by its key (${cause.message})`);
    }
    const origin = formatOrigin({ log: this.#options.log, tenantId, epoch });
    if (found.origin !== origin || found.size !== size || !equal(found.root, root)) {
      throw forked('the checkpoint that is stored is not what its note says');
    }
    return stored;
  }

  /** A new epoch begins with the entries: what was stored of the tree before it may be of others. */
  async #start(
    tenantId: string,
    { epoch }: Head,
    memory: LogTree | undefined,
    current: StoredCheckpoint | undefined,
  ): Promise<LogTree> {
    if (memory?.epoch === epoch) return memory;
    if (current === undefined) return emptyTree(epoch);
    return storedTree(this.#options.store, tenantId, epoch, { ...current, by: 'the checkpoint that is stored' });
  }

  async #pass(tenantId: string, tree: LogTree, waypoint: Claim, nodes: StoredNode[]): Promise<LogTree> {
    const { store } = this.#options;
    const { epoch, size } = waypoint;
    if (size < tree.size) {
      await storedTree(store, tenantId, epoch, waypoint);
      return tree;
    }
    const there = size === tree.size ? tree : await grownTree(store, tenantId, tree, size, nodes);
    compare(there, waypoint);
    return there;
  }

  /** Grows the tree to the head, and signs. */
  async #grow(
    tenantId: string,
    from: LogTree,
    head: Head,
    nodes: StoredNode[],
    report: boolean,
  ): Promise<{ readonly checkpoint: StoredCheckpoint } | { readonly refused: LogTree }> {
    const { store } = this.#options;
    for (let tree = from; ;) {
      const size = Math.min(head.seq, tree.size + STEP);
      tree = await grownTree(store, tenantId, tree, size, nodes);
      checkEnd(tree, head);
      const checkpoint = this.#sign(tenantId, tree);
      if (!(await store.saveCheckpoint(checkpoint, nodes.splice(0), report))) {
        return { refused: tree };
      }
      this.#remember(tenantId, tree);
      if (size === head.seq) return { checkpoint };
    }
  }

  #sign(tenantId: string, { epoch, size, root }: LogTree): StoredCheckpoint {
    const { log, signer } = this.#options;
    const origin = formatOrigin({ log, tenantId, epoch });
    return { tenantId, epoch, size, root, note: signCheckpoint({ origin, size, root }, [signer]) };
  }

  #recall(tenantId: string): LogTree | undefined {
    const tree = this.#trees.get(tenantId);
    if (tree === undefined) return undefined;
    this.#trees.delete(tenantId);
    this.#trees.set(tenantId, tree);
    return tree;
  }

  #remember(tenantId: string, tree: LogTree): void {
    const other = this.#recall(tenantId);
    // Of two that were made at once the larger one stays.
    if (other !== undefined && (other.epoch > tree.epoch || (other.epoch === tree.epoch && other.size > tree.size))) {
      return;
    }
    this.#trees.set(tenantId, tree);
    const [oldest] = this.#trees.keys();
    if (this.#trees.size > this.#options.trees && oldest !== undefined) this.#trees.delete(oldest);
  }
}

function checkHead({ epoch, seq }: Head, claims: readonly Claim[]): void {
  for (const claim of claims) {
    if (claim.epoch > epoch) throw behind(`it is of epoch ${epoch}, and ${claim.by} of epoch ${claim.epoch}`);
    if (claim.epoch < epoch || claim.size <= seq) continue;
    throw behind(`it has ${seq} entries, and ${claim.by} covers ${claim.size}`);
  }
}

function checkEnd(tree: LogTree, { seq, hash }: Head): void {
  if (tree.size === seq && !equal(tree.last, hash)) throw forked('its last entry is not that of its head');
}
