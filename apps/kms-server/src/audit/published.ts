import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AuditError,
  type KnownCheckpoint,
  type KnownCheckpoints,
  openCheckpoint,
  parseOrigin,
  type VerifierKey,
} from '@minikms/audit-chain';

export interface PublishedOptions {
  readonly key: VerifierKey;
  /** One of its own for each server; memory alone when left out. */
  readonly directory: string | undefined;
  /** Gets each checkpoint as the body of a POST; one that fails is not repeated, the next of its log is sent. */
  readonly url: string | undefined;
  readonly onProblem: (tenantId: string, error: unknown) => void;
  /** Milliseconds that `close` waits for what is being sent; 5000. */
  readonly closeMs?: number;
}

/** A log of which a checkpoint is known. */
export interface KnownLog {
  readonly tenantId: string;
  readonly checkpoint: KnownCheckpoint;
}

const SUFFIX = '.checkpoint';
const POST_MS = 10_000;
const CLOSE_MS = 5000;
const POSTS_AT_ONCE = 4;
const READS_AT_ONCE = 16;
/** Logs of which a checkpoint waits to be sent. */
const MAX_UNSENT = 100_000;

/**
 * The checkpoints that were handed out, outside of the database: what shows that it was put back to an older state. In the
 * directory a file for each log holds its newest.
 *
 * The directory is read once, by `load`. From then on `highest` answers from memory alone, where a small record (about 200
 * bytes) stays for every tenant with a checkpoint: a disk that hangs stops the handing out of checkpoints, not the calls.
 *
 * A server publishes what it signs itself. Of what others sign it learns the log of the installation, every 5 seconds, from
 * the store (`audit-log.ts`): that log gets a checkpoint in each interval, so that a database that was put back to any older
 * state is behind on it. What a server with a folder of its own does not know of is therefore no older than 5 seconds and one interval.
 */
export class PublishedCheckpoints implements KnownCheckpoints {
  readonly #options: PublishedOptions;
  readonly #highest = new Map<string, KnownCheckpoint>();
  /** The end of what is being written of each log; gone when that is done. */
  readonly #turns = new Map<string, Promise<void>>();
  /** What waits to be sent, the newest of each log. */
  readonly #unsent = new Map<string, string>();
  /** The logs of which one is on its way: they arrive in their order. */
  readonly #posting = new Set<string>();
  readonly #workers = new Set<Promise<void>>();
  readonly #aborting = new AbortController();

  constructor(options: PublishedOptions) {
    this.#options = options;
  }

  /**
   * Reads the directory; to be awaited before anything else.
   *
   * @throws AuditError naming a file that is not the checkpoint that its name says; the error of the file system.
   */
  async load(): Promise<void> {
    const { directory } = this.#options;
    if (directory === undefined) return;
    const names = await readdir(directory).catch((error: unknown) => {
      // It is made with the first checkpoint.
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    });
    await eachOf(
      names.filter((name) => name.endsWith(SUFFIX)),
      READS_AT_ONCE,
      async (name) => {
        const { tenantId, checkpoint } = await this.#read(directory, name);
        this.#remember(tenantId, checkpoint);
      },
    );
  }

  async highest(tenantId: string): Promise<KnownCheckpoint | undefined> {
    return this.#highest.get(tenantId);
  }

  /** @throws AuditError, by rejecting, when the note is not a checkpoint of this log; the error of the file system. */
  async publish(tenantId: string, note: string): Promise<void> {
    const checkpoint = this.open(tenantId, note);
    await this.#inTurn(tenantId, () => this.#keep(tenantId, checkpoint, note));
    const highest = this.#highest.get(tenantId);
    // One that was learnt from the store in between has not been sent.
    if (highest === undefined || !isAbove(highest, checkpoint)) this.#send(tenantId, note);
  }

  /** Keeps what another server published. Throws as `publish`. */
  async learn(tenantId: string, note: string): Promise<void> {
    const checkpoint = this.open(tenantId, note);
    await this.#inTurn(tenantId, () => this.#keep(tenantId, checkpoint, note));
  }

  /** Every log of which a checkpoint is known. */
  *all(): Generator<KnownLog> {
    for (const [tenantId, checkpoint] of this.#highest) yield { tenantId, checkpoint };
  }

  /** What a note says. @throws AuditError when it is not a checkpoint of this log, signed by its key. */
  open(tenantId: string, note: string): KnownCheckpoint {
    const log = this.#parse(note);
    if (log.tenantId !== tenantId) throw new AuditError('ORIGIN_INVALID', 'the checkpoint is of another log');
    return log.checkpoint;
  }

  /** Resolves when what waits was sent, or could not be in time. */
  async close(): Promise<void> {
    const timer = setTimeout(() => {
      this.#unsent.clear();
      this.#aborting.abort();
    }, this.#options.closeMs ?? CLOSE_MS);
    await Promise.all(this.#workers);
    clearTimeout(timer);
  }

  /** One after the other for each log: what is compared is still so when it is written. */
  async #inTurn(tenantId: string, work: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(tenantId) ?? Promise.resolve()).then(work);
    const over = turn.catch(() => {});
    this.#turns.set(tenantId, over);
    try {
      await turn;
    } finally {
      if (this.#turns.get(tenantId) === over) this.#turns.delete(tenantId);
    }
  }

  async #keep(tenantId: string, checkpoint: KnownCheckpoint, note: string): Promise<void> {
    const highest = this.#highest.get(tenantId);
    if (highest !== undefined && !isAbove(checkpoint, highest)) return;
    if (this.#options.directory !== undefined) await write(this.#options.directory, fileName(tenantId), note);
    this.#remember(tenantId, checkpoint);
  }

  #remember(tenantId: string, checkpoint: KnownCheckpoint): void {
    const highest = this.#highest.get(tenantId);
    if (highest === undefined || isAbove(checkpoint, highest)) this.#highest.set(tenantId, checkpoint);
  }

  #parse(note: string): KnownLog {
    const { origin, size, root } = openCheckpoint(note, [this.#options.key]);
    const { log, tenantId, epoch } = parseOrigin(origin);
    if (log !== this.#options.key.name) throw new AuditError('ORIGIN_INVALID', 'the checkpoint is of another log');
    return { tenantId, checkpoint: { epoch, size, root } };
  }

  async #read(directory: string, name: string): Promise<KnownLog> {
    try {
      const log = this.#parse(await readFile(join(directory, name), 'utf8'));
      if (fileName(log.tenantId) === name) return log;
      throw new AuditError('ORIGIN_INVALID', 'it is the checkpoint of another log');
    } catch (error) {
      const why = error instanceof AuditError ? error.message : `it cannot be read (${codeOf(error)})`;
      throw new AuditError(
        'CHECKPOINT_MALFORMED',
        `the folder of checkpoints is damaged: ${JSON.stringify(name)} is not what its name says: ${why}`,
      );
    }
  }

  #send(tenantId: string, note: string): void {
    const { url } = this.#options;
    if (url === undefined || (this.#unsent.size >= MAX_UNSENT && !this.#unsent.has(tenantId))) return;
    this.#unsent.set(tenantId, note);
    if (this.#workers.size >= POSTS_AT_ONCE) return;
    const worker = this.#work(url).finally(() => this.#workers.delete(worker));
    this.#workers.add(worker);
  }

  async #work(url: string): Promise<void> {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      const [tenantId, note] = next;
      this.#unsent.delete(tenantId);
      this.#posting.add(tenantId);
      try {
        await post(url, note, this.#aborting.signal);
      } catch (error) {
        this.#options.onProblem(tenantId, error);
      }
      this.#posting.delete(tenantId);
    }
  }

  #next(): readonly [string, string] | undefined {
    for (const waiting of this.#unsent) if (!this.#posting.has(waiting[0])) return waiting;
    return undefined;
  }
}

/** True for one of a newer epoch, or of the same and a larger size. */
export function isAbove(one: KnownCheckpoint, other: Pick<KnownCheckpoint, 'epoch' | 'size'>): boolean {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.size > other.size);
}

/** Does the work for each item, for some at once; rejects with the first that fails. */
export async function eachOf<T>(items: Iterable<T>, atOnce: number, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items].values();
  const worker = async (): Promise<void> => {
    for (const item of waiting) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

/** @throws Error that does not tell the URL, of which a part may be a secret. */
async function post(url: string, note: string, abort: AbortSignal): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    body: note,
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    redirect: 'error',
    signal: AbortSignal.any([abort, AbortSignal.timeout(POST_MS)]),
  }).catch(() => undefined);
  if (response === undefined) throw new Error('the checkpoint URL cannot be reached');
  await response.body?.cancel().catch(() => {});
  if (!response.ok) throw new Error(`the checkpoint URL answered with ${response.status}`);
}

/** On disk under its name when it resolves. */
async function write(directory: string, name: string, note: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o750 });
  const temporary = join(directory, `.${randomUUID()}`);
  try {
    const file = await open(temporary, 'wx', 0o640);
    try {
      await file.writeFile(note);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(directory, name));
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  const folder = await open(directory, constants.O_RDONLY);
  await folder.sync().finally(() => folder.close());
}

/**
 * Readable where a file may have such a name, and a hash otherwise: two ids that differ in case alone would be one file where the
 * file system does not tell them apart. No id that is readable is written with `%23`, a number sign.
 */
function fileName(tenantId: string): string {
  const readable = /^[a-z0-9._:@/-]+$/.test(tenantId) ? encodeURIComponent(tenantId) : '';
  const named = readable !== '' && readable.length <= 200;
  return (named ? readable : `%23${createHash('sha256').update(tenantId).digest('hex')}`) + SUFFIX;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}
