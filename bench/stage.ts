// Everything that a run starts, so that it all ends with it: processes, databases, folders. What was started last ends
// first, at the end of the run as well as at Ctrl-C.
import { type ChildProcess, fork, type ForkOptions } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const STOP_MS = 15_000;

export class Stage {
  readonly folder: string;
  readonly #ends: (() => unknown)[] = [];
  #ending = false;
  readonly #generators = new Set<ChildProcess>();

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'minikms-bench-'));
    this.atEnd(() => rmSync(this.folder, { recursive: true, force: true }));
  }

  atEnd(end: () => unknown): void {
    this.#ends.push(end);
  }

  /** Starts a Node program with a channel, whose closing tells it to stop: it does not outlive this process. */
  start(
    program: string,
    args: readonly string[],
    options: ForkOptions,
  ): { child: ChildProcess; stop: () => Promise<void> } {
    const child = fork(program, args, {
      ...options,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      // Nothing inherited: the user's MINIKMS_* and NODE_OPTIONS would make it another program.
      env: { PATH: process.env['PATH'], ...options.env },
    });
    let stopping = false;
    child.once('exit', (status, signal) => {
      // The load generator only sees connections break.
      if (!stopping && !this.#ending)
        console.error(`${basename(program)} (pid ${child.pid}) ended unasked: ${signal ?? status}`);
    });
    const stop = async (): Promise<void> => {
      stopping = true;
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      if (child.connected) child.disconnect();
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await exited;
      clearTimeout(timer);
    };
    this.atEnd(stop);
    return { child, stop };
  }

  /** A program that ends by itself, unless the run ends before. */
  lend(child: ChildProcess): ChildProcess {
    this.#generators.add(child);
    child.once('exit', () => this.#generators.delete(child));
    return child;
  }

  async end(): Promise<void> {
    this.#ending = true;
    for (const child of this.#generators) child.kill('SIGKILL');
    for (let end = this.#ends.pop(); end !== undefined; end = this.#ends.pop()) {
      try {
        await end();
      } catch (error) {
        console.error('not stopped cleanly:', error instanceof Error ? error.message : error);
      }
    }
  }
}

/** Runs `work` on a stage which is cleared in any case; a signal ends it early. Returns the exit status. */
export async function onStage(work: (stage: Stage) => Promise<void>): Promise<number> {
  const stage = new Stage();
  const signalled = new Promise<NodeJS.Signals>((resolve) => {
    // Each only once: npm repeats what the terminal has sent already.
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => resolve(name));
  });
  try {
    const signal = await Promise.race([work(stage), signalled]);
    return signal === undefined ? 0 : 128 + constants.signals[signal];
  } catch (error) {
    console.error(error instanceof Error ? (error.stack ?? error.message) : error);
    return 1;
  } finally {
    await stage.end();
  }
}
