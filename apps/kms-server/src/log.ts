import { constants, fstatSync, openSync, write, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { pino, type DestinationStream, type Logger, type LoggerOptions } from 'pino';

const CHUNK_CHARACTERS = 64 * 1024;
const BUSY_RETRY_MS = 10;
const FAULT_RETRY_MS = 250;
const STUCK_MS = 500;

/** Structured logs, one JSON object a line. What could hold a secret is cut out, should it get in. */
export function openLog(level: string, sink: DestinationStream): Logger {
  const options: LoggerOptions = {
    level,
    base: { service: 'minikms' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: [
        'authorization',
        'token',
        'plaintext',
        'ciphertext',
        'key',
        'rootKey',
        'password',
        'url',
        '*.authorization',
        '*.token',
        '*.plaintext',
        '*.ciphertext',
        '*.key',
        '*.rootKey',
        '*.password',
        '*.url',
      ],
      censor: '[redacted]',
    },
  };
  return pino(options, sink);
}

/** Standard output, as a sink that costs log lines when it fails or is slow, never calls and never the shutdown. */
export function standardOutput(): Sink {
  const sink = new Sink(withoutWaiting(1));
  // What is left when the process ends some other way than by a stop.
  process.on('exit', () => sink.flushSync());
  return sink;
}

/**
 * Writes to a descriptor in the background. What is not written yet is kept, up to a limit; what is beyond is dropped,
 * and counted in a line of its own when the descriptor takes bytes again.
 */
export class Sink implements DestinationStream {
  readonly #fd: number;
  readonly #limit: number;
  /** Sealed, the oldest first. */
  readonly #chunks: Buffer[] = [];
  #text = '';
  #bytes = 0;
  #lost = 0;
  #written = 0;
  /** There is something to write; `#inFlight` while a write is under way, as opposed to waiting for a retry. */
  #busy = false;
  #inFlight = false;

  constructor(fd: number, limit: number = 16 * 1024 * 1024) {
    this.#fd = fd;
    this.#limit = limit;
  }

  write(line: string): void {
    if (this.#bytes + line.length > this.#limit) {
      this.#lost++;
      return;
    }
    this.#add(line);
    if (!this.#busy) this.#next();
  }

  /** Waits until all is written, unless that takes longer than this, or nothing moves. */
  async flush(timeoutMs: number): Promise<void> {
    const end = performance.now() + timeoutMs;
    let moved = performance.now();
    while (this.#busy && performance.now() < end && performance.now() - moved < STUCK_MS) {
      const before = this.#written;
      // oxlint-disable-next-line no-await-in-loop -- a pause between looks
      await sleep(2);
      if (this.#written !== before) moved = performance.now();
    }
  }

  /** Writes what the descriptor takes at once. */
  flushSync(): void {
    this.#seal();
    try {
      for (let i = this.#inFlight ? 1 : 0; i < this.#chunks.length; i++) {
        const chunk = this.#chunks[i] as Buffer;
        const written = writeSync(this.#fd, chunk);
        this.#chunks[i] = chunk.subarray(written);
        if (written < chunk.length) return;
      }
    } catch {
      // There is nowhere left to say so.
    }
  }

  #add(line: string): void {
    this.#text += line;
    this.#bytes += line.length;
    if (this.#text.length >= CHUNK_CHARACTERS) this.#seal();
  }

  #seal(): void {
    if (this.#text === '') return;
    const chunk = Buffer.from(this.#text);
    this.#bytes += chunk.length - this.#text.length;
    this.#text = '';
    this.#chunks.push(chunk);
  }

  #next(): void {
    if (this.#chunks.length === 0) this.#seal();
    const chunk = this.#chunks[0];
    this.#busy = chunk !== undefined;
    if (chunk === undefined) return;
    this.#inFlight = true;
    write(this.#fd, chunk, (error, written) => {
      this.#inFlight = false;
      if (error !== null) {
        const wait = error.code === 'EAGAIN' ? BUSY_RETRY_MS : FAULT_RETRY_MS;
        setTimeout(() => this.#next(), wait).unref();
        return;
      }
      this.#written += written;
      this.#bytes -= written;
      // What did not fit goes on where it stopped, so that no line is torn.
      if (written < chunk.length) this.#chunks[0] = chunk.subarray(written);
      else this.#chunks.shift();
      if (this.#lost > 0) this.#tellLoss();
      this.#next();
    });
  }

  #tellLoss(): void {
    const time = new Date().toISOString();
    const msg = 'log lines were lost: standard output did not take them';
    this.#add(`${JSON.stringify({ level: 'warn', time, service: 'minikms', lost: this.#lost, msg })}\n`);
    this.#lost = 0;
  }
}

/**
 * Makes a descriptor say EAGAIN instead of making the writer wait: a thread that waits in a write would make the process
 * wait for it when it ends.
 */
function withoutWaiting(fd: number): number {
  try {
    if (isatty(fd)) {
      // A terminal is shared with the shell, which would find it changed; this is an opening of its own.
      const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
      return openSync(`/dev/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    }
    const kind = fstatSync(fd);
    // Node opens pipes and sockets for its own stream, and in doing so switches off waiting.
    if (fd === 1 && (kind.isFIFO() || kind.isSocket())) void process.stdout;
  } catch {
    // Then it may wait.
  }
  return fd;
}
