import { AuditError } from './errors.ts';
import { FreshFlight } from './fresh-flight.ts';
import { IntervalRoot, SYSTEM_TENANT } from './interval-root.ts';
import {
  type ConsistencyProof,
  type InclusionProof,
  proveConsistency,
  proveInclusion,
  receiptOf,
} from './log-proofs.ts';
import { behind, forked } from './log-tree.ts';
import type { NoteSigner, VerifierKey } from './note.ts';
import type { EntryReader, GrownLog, KnownCheckpoints, StoredCheckpoint, TreeStore } from './ports.ts';
import type { Incident } from './rollback-guard.ts';
import { type Made, type SignerStore, TreeSigner, type Wanted } from './tree-signer.ts';
import type { Witnesses } from './witness-policy.ts';
import type { Answer } from './witness.ts';

/** Logs that an interval signs for at once. */
const AT_ONCE = 4;
/** Logs that an interval asks for at once. */
const PAGE = 256;

export interface CheckpointerOptions {
  readonly store: SignerStore & Pick<EntryReader, 'entriesAfter'> & Pick<TreeStore, 'grown'>;
  /** The name of the log: a schema-less URL such as `kms.example.com/audit`. */
  readonly log: string;
  /** Its name is that of the log, or the beginning of it up to a slash. */
  readonly signer: NoteSigner;
  readonly known: KnownCheckpoints;
  /** Who cosigns the checkpoints of the log of the installation. */
  readonly witnesses?: Witnesses;
  /** A log is behind, or goes on differently from what was signed: nothing is signed. Called each time that this is found. */
  readonly onIncident: (incident: Incident) => void;
  /**
   * What is no reason to stop: a log that an interval could not sign for, a witness that did not cosign, an old entry or
   * a node of a tree that is not the one that was signed, for which there is no proof.
   */
  readonly onProblem?: (tenantId: string, error: unknown) => void;
  /** Logs whose newest tree is kept in memory, about 4 KiB each; 4096. */
  readonly trees?: number;
}

/**
 * Signs for the logs of a store, and proves what is in them. Any number of servers may do so at once: they sign for the same
 * entries.
 *
 * Nothing that contradicts a checkpoint that was handed out is ever signed: before each one the log is compared with the
 * tree in memory, the checkpoint in the store, and the highest that is known outside of it. A checkpoint is known outside
 * before it is handed out. The exception is the log of the installation when there are witnesses: its checkpoints are
 * published when enough of them have cosigned, while the newest is handed out at all times.
 *
 * Every method throws an `AuditError` `AUDIT_LOG_BEHIND` when the log lost entries that were signed for,
 * `AUDIT_LOG_FORKED` when it has others, and `ORIGIN_INVALID` for what is no tenant; and what the store and `known` throw.
 */
export class Checkpointer {
  readonly #options: CheckpointerOptions;
  readonly #signer: TreeSigner;
  readonly #flights = new FreshFlight<StoredCheckpoint>();
  /** The checkpoint that the witnesses were asked about last. */
  #asked: StoredCheckpoint | undefined;
  /** What witnesses hold against an epoch of the log of the installation. */
  #accused: { readonly epoch: number; readonly error: AuditError } | undefined;

  /** @throws AuditError `ORIGIN_INVALID` for a log that the key does not speak for, `KEY_MALFORMED`. */
  constructor(options: CheckpointerOptions) {
    this.#options = options;
    this.#signer = new TreeSigner({ trees: 4096, ...options });
  }

  /** By which the checkpoints are verified. */
  get key(): VerifierKey {
    return this.#signer.key;
  }

  /**
   * A checkpoint of every entry that was committed before the call. For `_system` the witnesses are asked, once for each
   * size, and this takes as long as the slowest of them. That of a log without entries is not stored.
   */
  checkpoint(tenantId: string): Promise<StoredCheckpoint> {
    return this.#flight(tenantId, 'every entry');
  }

  /**
   * Signs for every log that grew since the last interval, and gives the details of the entry that says so
   * (spec/audit-chain.md §9). Whoever claimed the interval appends that to `_system`, also when nothing grew, and then
   * asks for the checkpoint of `_system`: that it has an entry for each interval shows that others had none. A log that
   * cannot be signed for is counted and reported, and does not stop the others.
   */
  async interval(): Promise<string> {
    const sum = new IntervalRoot();
    let failed = 0;
    for (let after = ''; ;) {
      const page = await this.#options.store.grown(after, PAGE);
      const last = page.at(-1);
      if (last === undefined) return sum.details(failed);
      after = last.tenantId;
      for (const checkpoint of await this.#signFor(page.filter(({ tenantId }) => tenantId !== SYSTEM_TENANT))) {
        if (checkpoint === undefined) failed += 1;
        else sum.add(checkpoint);
      }
    }
  }

  /**
   * That an entry is in the log.
   *
   * @throws AuditError `ENTRY_NOT_FOUND`.
   */
  async inclusionProof(tenantId: string, seq: number): Promise<InclusionProof> {
    const checkpoint = await this.#covering(tenantId, seq, 1);
    return this.#guarded(checkpoint, proveInclusion(this.#options.store, checkpoint, seq));
  }

  /**
   * That the log of an older size is the beginning of what it is now.
   *
   * @throws AuditError `TREE_INVALID` for a size that it has not had.
   */
  async consistencyProof(tenantId: string, oldSize: number): Promise<ConsistencyProof> {
    const checkpoint = await this.#covering(tenantId, oldSize, 0);
    return this.#guarded(checkpoint, proveConsistency(this.#options.store, checkpoint, oldSize));
  }

  /**
   * The receipt of an entry (spec/audit-chain.md §7), with the entry.
   *
   * @throws AuditError `ENTRY_NOT_FOUND`.
   */
  async receipt(tenantId: string, seq: number): Promise<string> {
    const checkpoint = await this.#covering(tenantId, seq, 1);
    return this.#guarded(checkpoint, receiptOf(this.#options.store, checkpoint, seq, this.key));
  }

  #flight(tenantId: string, wanted: Wanted): Promise<StoredCheckpoint> {
    return this.#flights.run(`${wanted} ${tenantId}`, async () => {
      let epoch = 1;
      try {
        const made = await this.#signer.make(tenantId, wanted, (newest) => {
          epoch = newest;
          if (tenantId === SYSTEM_TENANT && this.#accused?.epoch === epoch) throw this.#accused.error;
        });
        return await this.#released(made, wanted);
      } catch (error) {
        const reason = isContradiction(error) ? error.message : undefined;
        if (reason !== undefined) this.#options.onIncident({ tenantId, epoch, reason });
        throw error;
      }
    });
  }

  /** What is handed out is known outside of the store first. */
  async #released({ checkpoint: made, known }: Made, wanted: Wanted): Promise<StoredCheckpoint> {
    const { tenantId, epoch, size } = made;
    if (size === 0) return made;
    const witnesses = tenantId === SYSTEM_TENANT ? this.#options.witnesses : undefined;
    const ask = witnesses !== undefined && wanted === 'every entry';
    const checkpoint = ask ? await this.#cosigned(made, witnesses) : made;
    const published = known !== undefined && known.epoch === epoch && known.size >= size;
    if (!published && (witnesses === undefined || hasQuorum(witnesses, checkpoint))) {
      await this.#options.known.publish(tenantId, checkpoint.note);
    }
    return checkpoint;
  }

  async #cosigned(checkpoint: StoredCheckpoint, witnesses: Witnesses): Promise<StoredCheckpoint> {
    const { tenantId, epoch, size } = checkpoint;
    const asked = this.#asked?.epoch === epoch && this.#asked.size === size;
    if (asked || hasQuorum(witnesses, checkpoint)) return checkpoint;
    const { note, answers, failures } = await witnesses.collect({
      note: checkpoint.note,
      size,
      proof: async (oldSize) => (await proveConsistency(this.#options.store, checkpoint, oldSize)).hashes,
    });
    this.#asked = checkpoint;
    for (const failure of failures) this.#options.onProblem?.(tenantId, failure);
    await this.#weigh(checkpoint, answers, witnesses.threshold);
    if (note === checkpoint.note) return checkpoint;
    const cosigned = { ...checkpoint, note };
    await this.#options.store.saveCheckpoint(cosigned, [], true);
    return cosigned;
  }

  /**
   * As many witnesses must contradict a log as must vouch for it: what they say against it is not signed, and one that is
   * wrong, or not who it says, would stop every call.
   */
  async #weigh({ tenantId, epoch }: StoredCheckpoint, answers: readonly Answer[], threshold: number): Promise<void> {
    const sizes = answers.flatMap((answer) => (answer.kind === 'ahead' ? [answer.size] : []));
    // Another server may have submitted a larger one meanwhile.
    const size = sizes.length > 0 ? ((await this.#options.store.head(tenantId))?.seq ?? 0) : 0;
    const ahead = sizes.filter((seen) => seen > size);
    const forks = answers.filter(({ kind }) => kind === 'forked').length;
    if (ahead.length + forks === 0) return;
    const error =
      ahead.length > 0
        ? behind(`it has ${size} entries, and a witness has seen ${Math.max(...ahead)}`)
        : forked('a witness has seen a checkpoint that contradicts its newest');
    if (ahead.length + forks >= threshold) throw this.#accuse(epoch, error);
    this.#options.onProblem?.(tenantId, error);
  }

  #accuse(epoch: number, error: AuditError): AuditError {
    this.#accused = { epoch, error };
    return error;
  }

  async #signFor(logs: readonly GrownLog[]): Promise<readonly (StoredCheckpoint | undefined)[]> {
    const signed: (StoredCheckpoint | undefined)[] = logs.map(() => undefined);
    const waiting = logs.entries();
    const worker = async (): Promise<void> => {
      for (const [i, { tenantId }] of waiting) {
        try {
          signed[i] = await this.#flight(tenantId, 'report');
        } catch (error) {
          this.#options.onProblem?.(tenantId, error);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return signed;
  }

  /** The newest checkpoint, or a new one when it does not cover so many entries. */
  async #covering(tenantId: string, size: number, least: 0 | 1): Promise<StoredCheckpoint> {
    if (Number.isSafeInteger(size) && size >= least) {
      const newest = await this.#flight(tenantId, 'newest');
      if (newest.size >= size) return newest;
      const grown = await this.#flight(tenantId, 'every entry');
      if (grown.size >= size) return grown;
    }
    throw least === 1
      ? new AuditError('ENTRY_NOT_FOUND', 'the log has no entry of this number')
      : new AuditError('TREE_INVALID', 'the log has not had this size');
  }

  /** Of an entry that was replaced there is no proof; the log can still go on from where it was signed for. */
  async #guarded<T>({ tenantId }: StoredCheckpoint, proof: Promise<T>): Promise<T> {
    try {
      return await proof;
    } catch (error) {
      if (isContradiction(error)) this.#options.onProblem?.(tenantId, error);
      throw error;
    }
  }
}

function isContradiction(error: unknown): error is AuditError {
  return error instanceof AuditError && (error.code === 'AUDIT_LOG_BEHIND' || error.code === 'AUDIT_LOG_FORKED');
}

function hasQuorum(witnesses: Witnesses, { note }: StoredCheckpoint): boolean {
  try {
    return witnesses.quorum(note);
  } catch (cause) {
    if (!(cause instanceof AuditError)) throw cause;
    throw forked(`the cosignatures that are stored with its checkpoint are not by their witnesses (${cause.message})`);
  }
}
