import { Appender, type AppenderOptions, type Incident, type NewEntry, type Position } from '../src/index.ts';
import { MemoryAuditStore } from '../src/testing.ts';
import { wholeLog } from '../src/testing/opened.ts';

export { newEntry, newEntries, wholeLog } from '../src/testing/opened.ts';

export interface Fixture {
  readonly store: MemoryAuditStore;
  readonly appender: Appender;
  readonly incidents: Incident[];
  /** Milliseconds, for the appender. */
  readonly clock: { ms: number };
}

/** An appender on a store in memory, whose clock stands still. */
export function openAppender(options: Partial<AppenderOptions> & { store?: MemoryAuditStore } = {}): Fixture {
  const store = options.store ?? new MemoryAuditStore();
  const incidents: Incident[] = [];
  const clock = { ms: 0 };
  const appender = new Appender({
    floor: () => undefined,
    onIncident: (incident) => incidents.push(incident),
    now: () => clock.ms,
    ...options,
    store,
  });
  return { store, appender, incidents, clock };
}

/** How often a method was called. */
export function callsOf({ calls }: MemoryAuditStore, method: string): number {
  return calls.filter((call) => call.method === method).length;
}

/** The position or the code of the error of each. */
export async function outcomes(appends: readonly Promise<Position>[]): Promise<(Position | string)[]> {
  return Promise.all(
    appends.map((append) => append.catch((error: { code?: string; message: string }) => error.code ?? error.message)),
  );
}

/** So many turns of the event loop, in which all goes on that does not wait for a clock. */
export async function turns(count = 200): Promise<void> {
  for (let i = 0; i < count; i += 1) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}

/** Throws unless each entry stands where its append said, once, in a log that is whole. */
export async function checkLog(
  store: MemoryAuditStore,
  written: readonly (readonly [NewEntry, Position])[],
): Promise<void> {
  for (const tenantId of new Set(written.map(([entry]) => entry.tenantId))) {
    const log = await wholeLog(store, tenantId);
    for (const [entry, position] of written) {
      if (entry.tenantId !== tenantId) continue;
      const found = log.filter(({ details }) => details === entry.details).map(({ seq }) => Number(seq));
      if (position.tenantId !== tenantId || found.length !== 1 || found[0] !== position.seq) {
        throw new Error(`answered ${position.tenantId} ${position.seq}, stands at ${found.join()} of ${tenantId}`);
      }
    }
  }
}
