interface Flight<T> {
  readonly running: Promise<T>;
  next: Promise<T> | undefined;
}

/**
 * Does a thing for each key at most once at a time, and never gives a result that was begun before it was asked for: whoever
 * asks while one runs shares the next.
 */
export class FreshFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  run(key: string, work: () => Promise<T>): Promise<T> {
    const flight = this.#flights.get(key);
    if (flight === undefined) return this.#start(key, work);
    const begin = (): Promise<T> => this.#start(key, work);
    flight.next ??= flight.running.then(begin, begin);
    return flight.next;
  }

  #start(key: string, work: () => Promise<T>): Promise<T> {
    const flight: Flight<T> = { running: work(), next: undefined };
    this.#flights.set(key, flight);
    const landed = (): void => {
      if (flight.next === undefined) this.#flights.delete(key);
    };
    flight.running.then(landed, landed);
    return flight.running;
  }
}
