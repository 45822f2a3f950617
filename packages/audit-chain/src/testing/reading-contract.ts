import { randomBytes, randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AuditStore, EntryFilter, NewEntry, Subject } from '../ports.ts';
import { batchOf, EMPTY, follow, headAfter, newEntries, newEntry, newTenant, plain } from './opened.ts';

/** The part of the contract that is about reading entries; in a `describe` whose hooks open the store. */
export function readingContract(open: () => AuditStore): void {
  describe('reading', () => {
    let store: AuditStore;
    const tenantId = newTenant();
    // Timestamps go back now and then: the order is that of seq.
    const entries = Array.from({ length: 40 }, (_, i) =>
      newEntry(tenantId, {
        action: i % 2 === 0 ? 'kms.encrypt' : 'kms.decrypt',
        actorId: `m_${i % 5}`,
        timestampUs: 1_767_225_600_000_000 + (i % 10),
      }),
    );
    beforeAll(async () => {
      store = open();
      await store.append([batchOf(EMPTY, entries)], []);
    });

    it('finds nothing of a tenant without a log', async () => {
      const nobody = newTenant();
      expect(await store.head(nobody)).toBeUndefined();
      expect(await store.entriesAfter(nobody, 0, 10)).toEqual([]);
      expect(await store.findEntries(nobody, {}, 10, 0)).toEqual([]);
      expect(await store.entryHashes(nobody, 1, 10)).toEqual([]);
    });

    it('gives pages after a seq, in order', async () => {
      const log = plain(follow(EMPTY, entries));
      expect(plain(await store.entriesAfter(tenantId, 0, 7))).toEqual(log.slice(0, 7));
      expect(plain(await store.entriesAfter(tenantId, 7, 7))).toEqual(log.slice(7, 14));
      expect(plain(await store.entriesAfter(tenantId, 38, 10_000))).toEqual(log.slice(38));
      expect(await store.entriesAfter(tenantId, 40, 10)).toEqual([]);
    });

    it('gives hashes from one seq to another', async () => {
      const hashes = plain(follow(EMPTY, entries).map((entry) => entry.entryHash));
      expect(plain(await store.entryHashes(tenantId, 1, 1))).toEqual(hashes.slice(0, 1));
      expect(plain(await store.entryHashes(tenantId, 5, 9))).toEqual(hashes.slice(4, 9));
      expect(plain(await store.entryHashes(tenantId, 39, 10_000))).toEqual(hashes.slice(38));
      expect(await store.entryHashes(tenantId, 41, 50)).toEqual([]);
    });

    const from = 1_767_225_600_000_004;
    const filters: readonly (readonly [string, EntryFilter, (entry: NewEntry, seq: number) => boolean])[] = [
      ['all', {}, () => true],
      ['an action', { action: 'kms.decrypt' }, (one) => one.action === 'kms.decrypt'],
      ['an actor', { actorId: 'm_3', action: undefined }, (one) => one.actorId === 'm_3'],
      ['timestamps from one on', { fromUs: from }, (one) => one.timestampUs >= from],
      ['timestamps before one', { beforeUs: from }, (one) => one.timestampUs < from],
      ['entries before a seq', { beforeSeq: 21 }, (_, seq) => seq < 21],
      [
        'all of these together',
        { action: 'kms.encrypt', actorId: 'm_2', fromUs: from - 3, beforeUs: from + 1, beforeSeq: 40 },
        (one, seq) =>
          one.action === 'kms.encrypt' &&
          one.actorId === 'm_2' &&
          one.timestampUs >= from - 3 &&
          one.timestampUs <= from &&
          seq < 40,
      ],
      ['an action that there is not', { action: 'kms' }, () => false],
    ];

    it.each(filters)('finds %s, newest first, in pages', async (_, filter, matches) => {
      const expected = follow(EMPTY, entries)
        .filter((__, i) => matches(entries[i]!, i + 1))
        .toReversed();
      expect(plain(await store.findEntries(tenantId, filter, 1000, 0))).toEqual(plain(expected));
      expect(plain(await store.findEntries(tenantId, filter, 3, 0))).toEqual(plain(expected.slice(0, 3)));
      expect(plain(await store.findEntries(tenantId, filter, 3, 2))).toEqual(plain(expected.slice(2, 5)));
      expect(await store.findEntries(tenantId, filter, 10, 40)).toEqual([]);
    });
  });
}

/** The part that is about subjects. */
export function subjectsContract(open: () => AuditStore): void {
  describe('subjects', () => {
    let store: AuditStore;
    beforeAll(() => {
      store = open();
    });

    it('are stored with a batch, once, and found for their tenant only', async () => {
      const batch = batchOf(EMPTY, newEntries(newTenant(), 1));
      const [one, two] = [newRow(batch.tenantId), newRow(batch.tenantId)];
      await store.append([batch], [one, two, one]);
      await store.append([batchOf(headAfter(batch), newEntries(batch.tenantId, 1))], [two]);
      expect(plain(await store.find(one.tenantId, one.id))).toEqual(plain(one));
      expect(plain(await store.find(two.tenantId, two.id))).toEqual(plain(two));
      expect(await store.find(newTenant(), one.id)).toBeUndefined();
      expect(await store.find(one.tenantId, newRow(one.tenantId).id)).toBeUndefined();
    });

    it('are stored when the batch is not', async () => {
      const tenantId = newTenant();
      await store.appendInTurn(newEntries(tenantId, 1), []);
      const row = newRow(tenantId);
      expect(await store.append([batchOf(EMPTY, newEntries(tenantId, 1))], [row])).not.toEqual([true]);
      expect(plain(await store.find(tenantId, row.id))).toEqual(plain(row));
    });

    it('are stored by appendInTurn', async () => {
      const row = newRow(newTenant());
      await store.appendInTurn(newEntries(row.tenantId, 1), [row, row]);
      await store.appendInTurn(newEntries(row.tenantId, 1), [row]);
      expect(plain(await store.find(row.tenantId, row.id))).toEqual(plain(row));
    });

    it('are erased by label, of one tenant or of all', async () => {
      const label = `ann-${randomUUID()}@example.com`;
      const [here, there] = [newTenant(), newTenant()];
      const rows = [newRow(here, label), newRow(here, label), newRow(there, label), newRow(here)];
      await store.append([batchOf(EMPTY, newEntries(here, 1))], rows);
      expect(await store.erase(there, `${label}x`)).toBe(0);
      expect(await store.erase(here, label)).toBe(2);
      const found = async (): Promise<boolean[]> =>
        Promise.all(rows.map(async ({ tenantId, id }) => (await store.find(tenantId, id)) !== undefined));
      expect(await found()).toEqual([false, false, true, true]);
      expect(await store.erase(undefined, label)).toBe(1);
      expect(await found()).toEqual([false, false, false, true]);
    });
  });
}

function newRow(tenantId: string, label = `${randomUUID()} O'Neil "日本"`): Subject {
  return { id: randomBytes(32).toString('base64url'), tenantId, kind: 'member', salt: randomBytes(32), label };
}
