import { ServerError } from '../errors.ts';

/** What may run at once of something that reads whole logs: in all, and of one tenant. */
export class Slots {
  readonly #what: string;
  readonly #most: number;
  readonly #mostOfOne: number;
  readonly #taken = new Map<string, number>();
  #all = 0;

  /** @param what as a caller is told of it, in the plural. */
  constructor(what: string, most: number, mostOfOne: number) {
    this.#what = what;
    this.#most = most;
    this.#mostOfOne = mostOfOne;
  }

  /**
   * @returns what gives the slot back; to be called once.
   * @throws ServerError `BUSY` when there is none.
   */
  take(tenantId: string): () => void {
    const taken = this.#taken.get(tenantId) ?? 0;
    if (this.#all >= this.#most || taken >= this.#mostOfOne)
      throw new ServerError(
        'BUSY',
        `${this.#mostOfOne} ${this.#what} of a tenant and ${this.#most} of a server run at once: try again later`,
      );
    this.#all++;
    this.#taken.set(tenantId, taken + 1);
    return () => {
      this.#all--;
      const left = (this.#taken.get(tenantId) ?? 0) - 1;
      if (left > 0) this.#taken.set(tenantId, left);
      else this.#taken.delete(tenantId);
    };
  }
}
