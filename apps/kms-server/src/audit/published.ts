import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
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
  /** Gets each checkpoint as the body of a POST; one that fails is sent again with the next of its log. */
  readonly url: string | undefined;
  readonly onProblem: (tenantId: string, error: unknown) => void;
}

const SUFFIX = '.checkpoint';
const POST_MS = 10_000;
/** Logs of which the highest checkpoint is kept in memory. */
const REMEMBERED = 100_000;

/**
 * The checkpoints that were handed out, outside of the database: what shows that it was put back to an older state. In the
 * directory a file for each log holds its newest.
 */
export class PublishedCheckpoints implements KnownCheckpoints {
  readonly #options: PublishedOptions;
  /** Least recently used first. */
  readonly #highest = new Map<string, KnownCheckpoint>();
  /** What waits to be sent, the newest of each log. */
  readonly #unsent = new Map<string, string>();
  #sending: Promise<void> | undefined;

  constructor(options: PublishedOptions) {
    this.#options = options;
  }

  /** @throws AuditError when the file is not a checkpoint of this log; the error of the file system. */
  async highest(tenantId: string): Promise<KnownCheckpoint | undefined> {
    const known = this.#highest.get(tenantId);
    if (known !== undefined || this.#options.directory === undefined) return known;
    const read = await this.#read(join(this.#options.directory, fileName(tenantId)));
    if (read === undefined) return undefined;
    if (read.tenantId !== tenantId) throw new AuditError('ORIGIN_INVALID', 'a kept checkpoint is of another log');
    return this.#remember(tenantId, read.checkpoint);
  }

  async publish(tenantId: string, note: string): Promise<void> {
    const { checkpoint } = this.#parse(note);
    const higher = await this.highest(tenantId);
    if (higher !== undefined && !isAbove(checkpoint, higher)) return;
    if (this.#options.directory !== undefined) await this.#write(this.#options.directory, tenantId, note);
    this.#remember(tenantId, checkpoint);
    if (this.#options.url === undefined) return;
    if (this.#unsent.size < REMEMBERED) this.#unsent.set(tenantId, note);
    this.#sending ??= this.#send(this.#options.url).finally(() => (this.#sending = undefined));
  }

  /** Every log of which the directory holds a checkpoint. */
  async *all(): AsyncGenerator<{ readonly tenantId: string; readonly checkpoint: KnownCheckpoint }> {
    const { directory } = this.#options;
    if (directory === undefined) return;
    for (const name of await readdir(directory)) {
      if (!name.endsWith(SUFFIX)) continue;
      const read = await this.#read(join(directory, name));
      if (read !== undefined) yield read;
    }
  }

  /** Resolves when what waits was sent, or could not be. */
  async close(): Promise<void> {
    await this.#sending;
  }

  #remember(tenantId: string, checkpoint: KnownCheckpoint): KnownCheckpoint {
    this.#highest.delete(tenantId);
    this.#highest.set(tenantId, checkpoint);
    // Memory is all there is without a directory: then none is forgotten.
    if (this.#options.directory !== undefined && this.#highest.size > REMEMBERED) {
      const [oldest] = this.#highest.keys();
      if (oldest !== undefined) this.#highest.delete(oldest);
    }
    return checkpoint;
  }

  #parse(note: string): { tenantId: string; checkpoint: KnownCheckpoint } {
    const { origin, size, root } = openCheckpoint(note, [this.#options.key]);
    const { tenantId, epoch } = parseOrigin(origin);
    return { tenantId, checkpoint: { epoch, size, root } };
  }

  async #read(path: string): Promise<{ tenantId: string; checkpoint: KnownCheckpoint } | undefined> {
    try {
      return this.#parse(await readFile(path, 'utf8'));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** On disk under its name when it resolves, or not at all. */
  async #write(directory: string, tenantId: string, note: string): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o755 });
    const temporary = join(directory, `.${randomUUID()}`);
    const file = await open(temporary, 'wx', 0o644);
    try {
      await file.writeFile(note);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(directory, fileName(tenantId)));
    const folder = await open(directory, constants.O_RDONLY);
    await folder.sync().finally(() => folder.close());
  }

  async #send(url: string): Promise<void> {
    for (const [tenantId, note] of this.#unsent) {
      this.#unsent.delete(tenantId);
      try {
        const response = await fetch(url, {
          method: 'POST',
          body: note,
          headers: { 'content-type': 'text/plain; charset=utf-8' },
          redirect: 'error',
          signal: AbortSignal.timeout(POST_MS),
        });
        await response.body?.cancel();
        if (!response.ok) throw new Error(`the checkpoint was answered with ${response.status}`);
      } catch (error) {
        this.#options.onProblem(tenantId, error);
      }
    }
  }
}

function isAbove(one: KnownCheckpoint, other: KnownCheckpoint): boolean {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.size > other.size);
}

/** Readable where a file may have such a name. */
function fileName(tenantId: string): string {
  const name = encodeURIComponent(tenantId);
  return (name.length <= 200 ? name : `sha256-${createHash('sha256').update(tenantId).digest('hex')}`) + SUFFIX;
}
