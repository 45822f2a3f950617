import { isIPv6 } from 'node:net';
import type { NewEntry, Subject } from './ports.ts';
import type { SubjectCache } from './subject.ts';

/** A call that was refused before anybody knew who made it. */
export interface Refusal {
  /** What its entry would have as action. */
  readonly action: string;
  readonly code: string;
  /** Where it came from, such as an address, which is counted by {@link sourceGroup}; `''` when that is not known. */
  readonly source: string;
  /** Microseconds since 1970. */
  readonly atUs: number;
}

export interface RefusalsOptions {
  /** Whose log the entries go to. */
  readonly tenantId: string;
  readonly emit: (entry: NewEntry, subjects: readonly Subject[]) => Promise<unknown>;
  /** Of sources. */
  readonly subjects: SubjectCache;
  /** Groups that are counted apart, at most; 32. Those beyond it lose their source, and beyond twice that their action. */
  readonly maxGroups?: number;
}

interface Group {
  readonly action: string;
  readonly code: string;
  readonly source: string;
  count: number;
  firstUs: number;
  lastUs: number;
}

const MOST_SOURCE = 256;
/** What refusals of too many kinds are counted as. */
const OTHER = { action: 'refused', code: 'OTHER' } as const;
const NO_TOKEN = new Uint8Array(0);

/**
 * Counts refused calls without a caller, so that a stranger can neither make a log grow with each call nor take places in
 * the queue of callers. Whoever makes one calls {@link flush} once a second, and at the end.
 *
 * Each entry has the time of the last of its calls, and as details `{"outcome":…,"count":…,"since_us":…,"source":…}`:
 * `since_us` is the time of the first, `source` the id of a subject. What could not be written is counted again with
 * the next: no count is lost while the process lives, and one may be there twice.
 */
export class Refusals {
  readonly #options: RefusalsOptions;
  readonly #maxGroups: number;
  #groups = new Map<string, Group>();
  #pending = 0;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(options: RefusalsOptions) {
    this.#options = options;
    this.#maxGroups = options.maxGroups ?? 32;
  }

  /** Calls that are counted and not in the log yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Never throws. */
  add({ action, code, source, atUs }: Refusal): void {
    const known = source.length <= MOST_SOURCE && source.isWellFormed() ? sourceGroup(source) : '';
    this.#pending += 1;
    this.#count({ action, code, source: known, count: 1, firstUs: atUs, lastUs: atUs });
  }

  /** Writes an entry for each group; resolves when that was tried, and never rejects. */
  flush(): Promise<void> {
    // However slow the log is, one flush is under way and one waits.
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      const groups = [...this.#groups.values()];
      this.#groups = new Map();
      this.#running = Promise.all(groups.map((group) => this.#write(group))).then(() => {});
      return this.#running;
    });
    return this.#next;
  }

  async #write(group: Group): Promise<void> {
    const { action, code, source, count, firstUs, lastUs } = group;
    const { tenantId, subjects, emit } = this.#options;
    try {
      const known = source === '' ? undefined : subjects.of(tenantId, 'peer', source);
      const named = known === undefined ? {} : { source: known.subject.id };
      const details = JSON.stringify({ outcome: code, count, since_us: firstUs, ...named });
      const entry = { tenantId, timestampUs: lastUs, action, actorId: '', details, requestJwtHash: NO_TOKEN };
      await emit(entry, known === undefined || known.stored ? [] : [known.subject]);
      if (known !== undefined) known.stored = true;
      this.#pending -= count;
    } catch {
      this.#count(group);
    }
  }

  #count(added: Group): void {
    const group = this.#place({ ...added, count: 0 });
    group.count += added.count;
    group.firstUs = Math.min(group.firstUs, added.firstUs);
    group.lastUs = Math.max(group.lastUs, added.lastUs);
  }

  /** The group that this one is counted in, itself if there is room. */
  #place(group: Group): Group {
    const name = `${group.action}\0${group.code}\0${group.source}`;
    const found = this.#groups.get(name);
    if (found !== undefined) return found;
    const known = group.source !== '';
    const limit = known ? this.#maxGroups : group.code === OTHER.code ? Infinity : 2 * this.#maxGroups;
    if (this.#groups.size >= limit) return this.#place(known ? { ...group, source: '' } : { ...group, ...OTHER });
    this.#groups.set(name, group);
    return group;
  }
}

/**
 * What calls from an address are counted under. Whoever has one IPv6 address has the 2^64 of its network, so that is
 * `2001:db8:0:1::/64`; all else stands for itself, an IPv4 address in IPv6 for the IPv4 address.
 */
export function sourceGroup(source: string): string {
  const [address] = source.replace(/^\[(.*)\]$/, '$1').split('%') as [string];
  if (!isIPv6(address)) return source;
  // As URLs write it: hexadecimal, without leading zeros, the longest run of zeros left out.
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [before, after] = canonical.split('::').map((part) => part.split(':').filter(Boolean)) as [string[], string[]?];
  const zeros = Array.from({ length: 8 - before.length - (after?.length ?? 0) }, () => '0');
  const words = [...before, ...zeros, ...(after ?? [])];
  if (words.slice(0, 5).every((word) => word === '0') && words[5] === 'ffff') {
    const [high, low] = words.slice(6).map((word) => Number.parseInt(word, 16)) as [number, number];
    return [high >> 8, high & 255, low >> 8, low & 255].join('.');
  }
  return `${words.slice(0, 4).join(':')}::/64`;
}
