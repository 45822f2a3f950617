import { parseCheckpoint, parseOrigin } from './checkpoint.ts';
import { parseNote } from './note.ts';
import type { KnownCheckpoint, KnownCheckpoints } from './ports.ts';

/** The checkpoints that were published, as long as the process lives: for tests, and where there is nothing better. */
export class MemoryKnownCheckpoints implements KnownCheckpoints {
  readonly #highest = new Map<string, KnownCheckpoint>();

  async highest(tenantId: string): Promise<KnownCheckpoint | undefined> {
    return this.#highest.get(tenantId);
  }

  /** @throws AuditError `NOTE_MALFORMED`, `CHECKPOINT_MALFORMED`, `ORIGIN_INVALID`. */
  async publish(tenantId: string, note: string): Promise<void> {
    const { origin, size, root } = parseCheckpoint(parseNote(note).text);
    const { epoch } = parseOrigin(origin);
    const other = this.#highest.get(tenantId);
    if (other !== undefined && (other.epoch > epoch || (other.epoch === epoch && other.size >= size))) return;
    this.#highest.set(tenantId, { epoch, size, root });
  }
}
