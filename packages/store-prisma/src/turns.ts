import { CONNECT_MS, MOST_WAITING } from './connection.ts';
import { unavailable } from './failure.ts';

/** Runs `work` when its turn has come. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * Lets `limit` pieces of work go on at once; the others wait, first come, first served. Throws `STORE_UNAVAILABLE` to
 * who waited as long as one waits for a connection, and at once when too many wait.
 */
export function turns(limit: number): Turns {
  // In the order in which they came.
  const waiting = new Set<() => void>();
  let going = 0;

  const turn = (): Promise<void> =>
    new Promise((resolve, reject) => {
      if (waiting.size >= MOST_WAITING) {
        reject(unavailable(new Error('too many callers wait for their turn')));
        return;
      }
      const come = (): void => {
        clearTimeout(timer);
        waiting.delete(come);
        resolve();
      };
      const timer = setTimeout(() => {
        waiting.delete(come);
        reject(unavailable(new Error('the turn did not come in time')));
      }, CONNECT_MS);
      waiting.add(come);
    });

  return async (work) => {
    if (going < limit) going++;
    else await turn();
    try {
      return await work();
    } finally {
      // Whoever is next takes the place over: `going` stays, and nobody can get in between.
      const [next] = waiting;
      if (next) next();
      else going--;
    }
  };
}
