import { equal, KmsError } from '@minikms/crypto-core';
import { EMPTY } from './batch.ts';
import { AuditError } from './errors.ts';
import type { EntryReader, Head } from './ports.ts';

/** The highest checkpoint of a log that is known outside of its store. */
export interface Floor {
  readonly epoch: number;
  readonly size: number;
}

/** A log whose store cannot be trusted to go on with it. */
export interface Incident {
  readonly tenantId: string;
  /** The log goes on with an epoch that is greater. */
  readonly epoch: number;
  readonly reason: string;
}

export interface GuardOptions {
  readonly store: Pick<EntryReader, 'entryHashes' | 'head'>;
  readonly floor: (tenantId: string) => Floor | undefined | Promise<Floor | undefined>;
  readonly onIncident: (incident: Incident) => void;
  /** Milliseconds after which a floor that did not come is given up. */
  readonly giveUpMs: number;
}

/**
 * Notices that a log lost entries that it had: its database was put back to a backup, or a standby that had not got them
 * took over. Going on would give seqs that were given before to other entries, and in the end a checkpoint that
 * contradicts one that is signed (spec/audit-chain.md §5).
 */
export class RollbackGuard {
  readonly #options: GuardOptions;
  #incident: Incident | undefined;

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  get incident(): Incident | undefined {
    return this.#incident;
  }

  /** @throws AuditError `AUDIT_LOG_BEHIND` while there is an incident. */
  check(): void {
    if (this.#incident !== undefined) throw this.error();
  }

  /** What callers of all tenants get: it names none. */
  error(): AuditError {
    return new AuditError('AUDIT_LOG_BEHIND', 'the audit log is behind what was signed or answered before');
  }

  /** Rejects with `STORE_UNAVAILABLE` when it does not come in time, and with what the one who is asked throws. */
  async floor(tenantId: string): Promise<Floor | undefined> {
    const found = this.#options.floor(tenantId);
    if (!(found instanceof Promise)) return found;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const giveUp = (): void =>
      reject(new KmsError('STORE_UNAVAILABLE', 'the checkpoint of a log did not come in time'));
    const timer = setTimeout(giveUp, this.#options.giveUpMs).unref();
    try {
      return await Promise.race([found, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Compares a head that the store gave with what is known of its log.
   *
   * @param known a head that the log had before.
   * @throws AuditError `AUDIT_LOG_BEHIND` when the log lost entries.
   */
  async accept(tenantId: string, head: Head, known: Head | undefined): Promise<void> {
    const floor = await this.floor(tenantId);
    // The checkpoint may be younger than the head: one that is read after it tells.
    const late = floor !== undefined && lost(head, floor.epoch, floor.size);
    if (late && lost((await this.#options.store.head(tenantId)) ?? EMPTY, floor.epoch, floor.size)) {
      const signed = `a checkpoint of ${floor.size} entries of epoch ${floor.epoch} is known`;
      throw this.halt(tenantId, floor.epoch, `ends at entry ${head.seq} of epoch ${head.epoch}, and ${signed}`);
    }
    if (known === undefined) return;
    if (lost(head, known.epoch, known.seq)) {
      const had = `it had entry ${known.seq} of epoch ${known.epoch}`;
      throw this.halt(tenantId, known.epoch, `ends at entry ${head.seq} of epoch ${head.epoch}, and ${had}`);
    }
    if (head.epoch > known.epoch || (await this.#has(tenantId, head, known))) return;
    throw this.halt(tenantId, known.epoch, `has another entry ${known.seq} than it had`);
  }

  /** Whether a log with this head still has the end that is known. Others may have written past where it was put back. */
  async #has(tenantId: string, head: Head, { seq, hash }: Head): Promise<boolean> {
    if (head.seq === seq) return equal(head.hash, hash);
    if (seq === 0) return true;
    const [found] = await this.#options.store.entryHashes(tenantId, seq, seq);
    return found !== undefined && equal(found, hash);
  }

  /** Refuses all appends from now on; the first incident stays. */
  halt(tenantId: string, epoch: number, reason: string): AuditError {
    const first = this.#incident === undefined;
    this.#incident ??= { tenantId, epoch, reason: `the audit log of tenant ${tenantId} ${reason}` };
    if (first) this.#options.onIncident(this.#incident);
    return this.error();
  }

  /** True when there is no incident, or its log has a new epoch. */
  async recheck(): Promise<boolean> {
    const incident = this.#incident;
    if (incident === undefined) return true;
    const head = await this.#options.store.head(incident.tenantId);
    if (head === undefined || head.epoch <= incident.epoch) return false;
    // Another may have come meanwhile.
    if (this.#incident === incident) this.#incident = undefined;
    return this.#incident === undefined;
  }
}

function lost(head: Head, epoch: number, size: number): boolean {
  return head.epoch < epoch || (head.epoch === epoch && head.seq < size);
}
