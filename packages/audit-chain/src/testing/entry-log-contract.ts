import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditStore, NewEntry } from '../ports.ts';
import type { OpenedAuditStore } from './opened.ts';
import { batchOf, EMPTY, follow, headAfter, newEntries, newEntry, newTenant, plain, wholeLog } from './opened.ts';
import { readingContract, subjectsContract } from './reading-contract.ts';

/** Texts at the bounds of spec/audit-chain.md §2, and those that an encoder gets wrong. U+0000 is not in PostgreSQL's text. */
const ODD: readonly Partial<NewEntry>[] = [
  { actorId: '', details: '' },
  { actorId: 'Ünï-日本-👩‍🔧', details: '{"naïve":"日本語 👩‍🔧 \u2028\u2029\ufeff"}' },
  { details: '{"quoted":"\\"\\\\ \\u0041"}\n\t\r\'$1 {} , \\N' },
  { details: '\u0001\u001f\u007f\u0080\u009f', actorId: ' ' },
  { details: 'e\u0301 and \u00e9 are two texts' },
  { details: 'x'.repeat(16_384), action: 'a'.repeat(128), actorId: 'é'.repeat(128) },
  { details: '€'.repeat(5461) },
  { requestJwtHash: Uint8Array.from({ length: 32 }, (_, i) => 255 - i) },
  { timestampUs: 0 },
  { timestampUs: -62_135_596_800_000_000 },
  { timestampUs: Number.MAX_SAFE_INTEGER },
];

/** What every `EntryWriter`, `EntryReader` and `Subjects` does; `open` gives a store that no other suite uses. */
export function entryLogContract(name: string, open: () => Promise<OpenedAuditStore>): void {
  describe(`${name} as a log of entries`, () => {
    let opened: OpenedAuditStore;
    let store: AuditStore;
    beforeAll(async () => {
      opened = await open();
      store = opened.store;
    });
    afterAll(() => opened.close());

    describe('append', () => {
      it('begins a log, and goes on from its head', async () => {
        const tenantId = newTenant();
        const first = batchOf(EMPTY, newEntries(tenantId, 3));
        expect(await store.append([first], [])).toEqual([true]);
        expect(plain(await store.head(tenantId))).toEqual(plain(headAfter(first)));
        const second = batchOf(headAfter(first), newEntries(tenantId, 2));
        expect(await store.append([second], [])).toEqual([true]);
        const written = [...follow(EMPTY, first.entries), ...follow(headAfter(first), second.entries)];
        expect(plain(await wholeLog(store, tenantId))).toEqual(plain(written));
      });

      it('keeps every byte of every field', async () => {
        const tenantId = newTenant('Ünï/日本 👩‍🔧%');
        const entries = ODD.map((odd) => newEntry(tenantId, odd));
        expect(await store.append([batchOf(EMPTY, entries)], [])).toEqual([true]);
        expect(plain(await wholeLog(store, tenantId))).toEqual(plain(follow(EMPTY, entries)));
      });

      it('answers a stale head with the head, and inserts nothing', async () => {
        const tenantId = newTenant();
        const first = batchOf(EMPTY, newEntries(tenantId, 2));
        await store.append([first], []);
        const stale = batchOf(EMPTY, newEntries(tenantId, 1));
        const forged = batchOf({ ...headAfter(first), hash: randomBytes(32) }, newEntries(tenantId, 1));
        const ahead = batchOf({ ...headAfter(first), seq: 3 }, newEntries(tenantId, 1));
        for (const batch of [stale, forged, ahead]) {
          expect(plain(await store.append([batch], []))).toEqual([plain(headAfter(first))]);
        }
        expect(await wholeLog(store, tenantId)).toHaveLength(2);
      });

      it('answers a head that a log without entries does not have with the empty head', async () => {
        const tenantId = newTenant();
        const ahead = batchOf({ seq: 7, hash: randomBytes(32), epoch: 1 }, newEntries(tenantId, 1));
        expect(plain(await store.append([ahead], []))).toEqual([plain(EMPTY)]);
        expect(await store.head(tenantId)).toBeUndefined();
      });

      it('does the same batch once, however often it comes', async () => {
        const batch = batchOf(EMPTY, newEntries(newTenant(), 3));
        const outcomes = await Promise.all(Array.from({ length: 8 }, () => store.append([batch], [])));
        expect(outcomes.flat().filter((outcome) => outcome === true)).toHaveLength(1);
        expect(plain(await store.append([batch], []))).toEqual([plain(headAfter(batch))]);
        expect(await wholeLog(store, batch.tenantId)).toHaveLength(3);
      });

      it('appends the batches that fit and leaves the others, in any order of tenants', async () => {
        const tenants = ['m', 'z', 'a', 'k'].map((letter) => newTenant(letter));
        const stale = batchOf(EMPTY, newEntries(tenants[1]!, 1));
        await store.append([stale], []);
        const batches = tenants.map((tenantId) => batchOf(EMPTY, newEntries(tenantId, 5)));
        expect(plain(await store.append(batches, []))).toEqual([true, plain(headAfter(stale)), true, true]);
        const sizes = await Promise.all(tenants.map(async (tenantId) => (await wholeLog(store, tenantId)).length));
        expect(sizes).toEqual([5, 1, 5, 5]);
      });

      it('takes a thousand entries of many tenants at once', async () => {
        const batches = Array.from({ length: 100 }, () => batchOf(EMPTY, newEntries(newTenant(), 10)));
        expect(await store.append(batches, [])).toEqual(batches.map(() => true));
        expect(plain(await wholeLog(store, batches[99]!.tenantId))).toEqual(plain(follow(EMPTY, batches[99]!.entries)));
      });

      it('never waits for a log that somebody holds, and appends the others', async () => {
        const [held, free] = [newTenant(), newTenant()];
        await store.appendInTurn(newEntries(held, 1), []);
        const head = (await store.head(held))!;
        const release = await opened.hold(held);
        const batches = [batchOf(head, newEntries(held, 1)), batchOf(EMPTY, newEntries(free, 1))];
        expect(await store.append(batches, [])).toEqual(['busy', true]);
        await release();
        expect(await store.append(batches.slice(0, 1), [])).toEqual([true]);
      });
    });

    describe('appendInTurn', () => {
      it('hashes as this package does, whatever the text', async () => {
        const tenantId = newTenant('Ünï/日本 👩‍🔧%');
        const entries = ODD.map((odd) => newEntry(tenantId, odd));
        const written = follow(EMPTY, entries);
        const { first, head } = await store.appendInTurn(entries, []);
        expect(first).toBe(1);
        expect(plain(head)).toEqual({ seq: ODD.length, hash: plain(written.at(-1)!.entryHash), epoch: 1 });
        expect(plain(await wholeLog(store, tenantId))).toEqual(plain(written));
      });

      it('goes on wherever the log ends, as append does after it', async () => {
        const tenantId = newTenant();
        const begun = batchOf(EMPTY, newEntries(tenantId, 2));
        await store.append([begun], []);
        const middle = newEntries(tenantId, 3);
        const { first, head } = await store.appendInTurn(middle, []);
        expect([first, head.seq]).toEqual([3, 5]);
        const last = newEntries(tenantId, 1);
        expect(await store.append([batchOf(head, last)], [])).toEqual([true]);
        const log = await wholeLog(store, tenantId);
        expect(log.map(({ details }) => details)).toEqual(
          [...begun.entries, ...middle, ...last].map(({ details }) => details),
        );
      });

      it('waits for a log that somebody holds', async () => {
        const tenantId = newTenant();
        await store.appendInTurn(newEntries(tenantId, 1), []);
        const release = await opened.hold(tenantId);
        let released = false;
        const waiting = store.appendInTurn(newEntries(tenantId, 1), []).then(({ first }) => [first, released]);
        // A call about another log comes and goes meanwhile.
        await store.appendInTurn(newEntries(newTenant(), 1), []);
        released = true;
        await release();
        expect(await waiting).toEqual([2, true]);
      });
    });

    it('has no gap and no fork when many write one new log in both ways', async () => {
      const tenantId = newTenant();
      const written: (readonly [number, NewEntry])[] = [];
      const note = (first: number, entries: readonly NewEntry[]): unknown =>
        written.push(...entries.map((entry, i) => [first + i, entry] as const));
      const inTurn = async (count: number): Promise<void> => {
        const entries = newEntries(tenantId, count);
        note((await store.appendInTurn(entries, [])).first, entries);
      };
      const optimistic = async (): Promise<void> => {
        const entries = newEntries(tenantId, 2);
        let head = EMPTY;
        for (let tries = 0; tries < 20; tries += 1) {
          const [outcome] = await store.append([batchOf(head, entries)], []);
          if (outcome === true) return void note(head.seq + 1, entries);
          if (typeof outcome === 'object') head = outcome;
        }
      };
      const callers = Array.from({ length: 30 }, (_, i) => (i % 3 === 0 ? optimistic() : inTurn((i % 4) + 1)));
      await Promise.all(callers);
      const log = await wholeLog(store, tenantId);
      const expected = written
        .toSorted(([a], [b]) => a - b)
        .map(([seq, { actorId }]) => ({ seq: BigInt(seq), actorId }));
      expect(log.map(({ seq, actorId }) => ({ seq, actorId }))).toEqual(expected);
    });

    readingContract(() => store);
    subjectsContract(() => store);
  });
}
