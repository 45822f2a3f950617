/** Runs one task per name at a time: who asks meanwhile gets the result of the one that runs. */
export class SingleFlight {
  readonly #running = new Map<string, Promise<unknown>>();

  has(name: string): boolean {
    return this.#running.has(name);
  }

  /** Tasks of one name must all return the same type. */
  run<T>(name: string, task: () => Promise<T>): Promise<T> {
    const running = this.#running.get(name);
    if (running !== undefined) return running as Promise<T>;
    const started = task().finally(() => this.#running.delete(name));
    this.#running.set(name, started);
    return started;
  }
}
