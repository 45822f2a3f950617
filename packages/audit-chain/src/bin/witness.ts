import { type Cosignature, cosignatures } from '../cosignature.ts';
import { AuditError } from '../errors.ts';
import type { Request } from './command.ts';
import { count, printable } from './terminal.ts';

interface Seen {
  readonly size: number;
  readonly by: readonly Cosignature[];
}

/** Who cosigned: of the checkpoints that it is told of, the largest counts that enough of the witnesses cosigned. */
export class Witnessing {
  readonly #request: Pick<Request, 'quorum' | 'witnesses'>;
  /** The largest that enough cosigned; until there is one, that with the most cosignatures. */
  #best: Seen = { size: 0, by: [] };

  constructor(request: Pick<Request, 'quorum' | 'witnesses'>) {
    this.#request = request;
  }

  /** A checkpoint that was verified otherwise. */
  add({ size, note }: { readonly size: number; readonly note: string }): void {
    const by = this.#read(note);
    const needed = Math.min(this.#request.quorum, this.#best.by.length);
    if (by.length > needed || (by.length === needed && size >= this.#best.size)) this.#best = { size, by };
  }

  /** True when no witnesses were asked for. */
  get met(): boolean {
    return this.#best.by.length >= this.#request.quorum;
  }

  lines(): readonly string[] {
    const { witnesses, quorum } = this.#request;
    if (witnesses.length === 0) return [];
    const { size, by } = this.#best;
    return [
      `Checkpoint of ${count(size)} entries: cosigned by ${by.length} of ${witnesses.length} witnesses, ${quorum} needed.`,
      ...by.map(({ key, timestamp }) => `  ${printable(key.name)} at ${timeOf(timestamp)}`),
    ];
  }

  /** A note that one of the cosignatures does not fit has none. */
  #read(note: string): readonly Cosignature[] {
    try {
      return cosignatures(note, this.#request.witnesses);
    } catch (error) {
      if (!(error instanceof AuditError)) throw error;
      return [];
    }
  }
}

function timeOf(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `${seconds} s` : date.toISOString().replace('.000Z', 'Z');
}
