import { MAX_LINE } from './bounds.ts';

/** `at` to `stop` of the bytes are a line, without its end. Valid during the call only; `false` stops the reading. */
export type OnLine = (bytes: Uint8Array, at: number, stop: number) => boolean;

/** Cuts a stream into lines, holding one chunk and at most one line. */
export class LineSplitter {
  readonly #onLine: OnLine;
  /** The beginning of a line whose end is still to come. */
  #rest: Uint8Array = new Uint8Array(0);
  #held = 0;

  constructor(onLine: OnLine) {
    this.#onLine = onLine;
  }

  /** Whether to go on. A line that is too long is handed over cut, one byte longer than a line may be. */
  push(chunk: Uint8Array): boolean {
    let at = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, at);
      if (end < 0) return this.#hold(chunk.subarray(at)) || this.#flush();
      if (this.#held === 0) {
        if (!this.#onLine(chunk, at, Math.min(end, at + MAX_LINE + 1))) return false;
      } else {
        this.#hold(chunk.subarray(at, end));
        if (!this.#flush()) return false;
      }
      at = end + 1;
    }
  }

  /** Hands over the last line if nothing ended it. */
  end(): void {
    if (this.#held > 0) this.#flush();
  }

  /** Whether it fits. */
  #hold(bytes: Uint8Array): boolean {
    if (bytes.length > 0 && this.#rest.length === 0) this.#rest = new Uint8Array(MAX_LINE + 1);
    const fitting = bytes.subarray(0, this.#rest.length - this.#held);
    this.#rest.set(fitting, this.#held);
    this.#held += fitting.length;
    return this.#held <= MAX_LINE;
  }

  #flush(): boolean {
    const held = this.#held;
    this.#held = 0;
    return this.#onLine(this.#rest, 0, held);
  }
}
