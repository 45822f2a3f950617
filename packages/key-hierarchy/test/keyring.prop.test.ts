import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { KeyringOptions, KeyStore } from '../src/index.ts';
import { MemoryByteCache } from '../src/testing.ts';
import { opens, Poller, scopeNumber, sealMany, server, tally, TestStore, turn, versionOf } from './fixture.ts';

const changeEntry: KeyringOptions['changeEntry'] = (change) => ({
  tenantId: '_system',
  timestampUs: 0,
  action: change.kind,
  actorId: '',
  details: change.keyVersionId,
  requestJwtHash: new Uint8Array(),
});

/** The store, whose answers come late by as many turns as `delays` says, so that they overtake one another. */
function late(store: TestStore, delays: readonly number[]): KeyStore {
  let next = 0;
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]): Promise<unknown> => {
        try {
          return await (Reflect.apply(value, target, args) as Promise<unknown>);
        } finally {
          for (let i = delays[next++ % delays.length] ?? 0; i > 0; i--) await new Promise((go) => setImmediate(go));
        }
      };
    },
  });
}

const who = fc.integer({ min: 0, max: 1 });
const where = fc.integer({ min: 0, max: 2 });
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('seal' as const), who, where, count: fc.integer({ min: 1, max: 12 }) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('open' as const), who, where: fc.nat() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('turn' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('poll', 'rotate', 'record', 'doubt', 'trust', 'wait', 'sweep'),
      who,
      where,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('down', 'up') }) },
);

test('whatever overtakes whatever: no version is used beyond its budget, uses are exact, everything opens', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 10, maxLength: 60 }),
      fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 9 }),
      fc.constantFrom(1, 3, 20, 200, 1_000_000),
      fc.constantFrom(1, 2, 50),
      async (steps, delays, maxEncryptions, cacheSize) => {
        const store = new TestStore();
        const bytes = new MemoryByteCache();
        const servers = [0, 1].map(() => {
          const changes = new Poller(store);
          return {
            changes,
            ...server(store, { store: late(store, delays), changes, bytes, maxEncryptions, cacheSize, changeEntry }),
          };
        });
        const blobs: { blob: Buffer; scope: ReturnType<typeof scopeNumber> }[] = [];
        const running: Promise<unknown>[] = [];
        // What is asked of a store that is down may fail, with that code and no other.
        const run = (work: () => Promise<unknown>): void => {
          const allowed = ['STORE_UNAVAILABLE', 'KEY_NOT_FOUND', 'ROTATION_CONFLICT'];
          running.push(
            work().catch((error: { code?: string }) => {
              if (!allowed.includes(error.code ?? '')) throw error;
            }),
          );
        };
        for (const each of steps) {
          const { changes, time, keyring } = servers['who' in each ? each.who : 0]!;
          const scope = scopeNumber('where' in each ? each.where : 0);
          if (each.do === 'seal') {
            run(async () => {
              for (const blob of await sealMany(keyring, each.count, scope)) blobs.push({ blob, scope });
            });
          } else if (each.do === 'open') {
            const some = blobs.length > 0 ? blobs[each.where % blobs.length] : undefined;
            if (some !== undefined) run(async () => expect(await opens(keyring, some.blob, some.scope)).toBe(true));
          } else if (each.do === 'turn') await turn();
          else if (each.do === 'poll') changes.poll();
          else if (each.do === 'rotate') run(() => keyring.rotate(scope));
          else if (each.do === 'record') run(() => keyring.recordUses());
          else if (each.do === 'doubt') changes.isFresh = false;
          else if (each.do === 'trust') changes.isFresh = true;
          else if (each.do === 'wait') time.ms += 60_000;
          else if (each.do === 'sweep') keyring.sweep();
          else store.down = each.do === 'down';
        }
        await Promise.race([Promise.all(running), hung(20_000)]);
        store.down = false;
        for (const { keyring } of servers) {
          expect(keyring.size).toBeLessThanOrEqual(cacheSize);
          await keyring.close();
        }
        const counts = tally(blobs.map(({ blob }) => blob));
        expect(Math.max(0, ...counts.values())).toBeLessThanOrEqual(maxEncryptions);
        const cold = server(store).keyring;
        for (const { blob, scope } of blobs) expect(await opens(cold, blob, scope)).toBe(true);
        for (const made of store.made) {
          const row = await store.findVersion(made, made.id);
          if (typeof row === 'string') throw new Error('a version is lost');
          expect(row.leasedUses).toBeLessThanOrEqual(maxEncryptions);
          expect(row.recordedUses).toBeLessThanOrEqual(row.leasedUses);
          // A batch that failed half-way has sealed what nobody got to see.
          expect(row.recordedUses).toBeGreaterThanOrEqual(counts.get(made.id) ?? 0);
        }
        // Each change has its entry, and nothing else has one.
        expect(store.entries.map(({ details }) => details)).toEqual(store.made.map(({ id }) => id));
        for (const i of [0, 1, 2]) {
          const versions = store.made.filter(({ tenantId }) => tenantId === scopeNumber(i).tenantId);
          expect(versions.map(({ version }) => version)).toEqual(versions.map((_, at) => at + 1));
        }
        expect(new Set(blobs.map(({ blob }) => versionOf(blob))).size).toBe(counts.size);
      },
    ),
    { numRuns: 150 },
  );
});

function hung(ms: number): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error('some call neither ends nor fails')), ms).unref();
  });
}
