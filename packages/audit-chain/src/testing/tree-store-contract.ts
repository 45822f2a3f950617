import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditStore, GrownLog, StoredCheckpoint, StoredNode } from '../ports.ts';
import type { OpenedAuditStore } from './opened.ts';
import { batchOf, EMPTY, follow, newEntries, newEntry, newTenant, plain, wholeLog } from './opened.ts';

/** What every `TreeStore` does; `open` gives a store that no other suite uses. */
export function treeStoreContract(name: string, open: () => Promise<OpenedAuditStore>): void {
  describe(`${name} as a store of trees`, () => {
    let opened: OpenedAuditStore;
    let store: AuditStore;
    beforeAll(async () => {
      opened = await open();
      store = opened.store;
    });
    afterAll(() => opened.close());

    const grow = async (tenantId: string, count: number): Promise<number> =>
      (await store.appendInTurn(newEntries(tenantId, count), [])).head.seq;

    describe('claimInterval', () => {
      it('has one winner among many', async () => {
        const claims = await Promise.all(Array.from({ length: 20 }, () => store.claimInterval(60_000)));
        expect(claims.filter(Boolean)).toHaveLength(1);
        expect(await store.claimInterval(60_000)).toBe(false);
      });

      it('has another when the interval is over', async () => {
        const other = await open();
        try {
          expect(await other.store.claimInterval(20)).toBe(true);
          await expect.poll(() => other.store.claimInterval(60_000), { timeout: 5000 }).toBe(true);
          await sleep(25);
          expect(await other.store.claimInterval(20)).toBe(false);
        } finally {
          await other.close();
        }
      });
    });

    describe('saveCheckpoint', () => {
      it('keeps the newest of a log, byte for byte', async () => {
        const tenantId = newTenant('Ünï/日本 👩‍🔧%');
        expect(await store.checkpoint(tenantId)).toBeUndefined();
        const [five, nine] = [newCheckpoint(tenantId, 5), newCheckpoint(tenantId, 9)];
        expect(await store.saveCheckpoint(five, [])).toBe(true);
        expect(plain(await store.checkpoint(tenantId))).toEqual(plain(five));
        expect(await store.saveCheckpoint(nine, [])).toBe(true);
        expect(plain(await store.checkpoint(tenantId))).toEqual(plain(nine));
      });

      it('refuses a smaller one, another root for its size and an older epoch, with their nodes', async () => {
        const tenantId = newTenant();
        const newest = newCheckpoint(tenantId, 9, 2);
        await store.saveCheckpoint(newest, []);
        const refused = [
          newCheckpoint(tenantId, 8, 2),
          newCheckpoint(tenantId, 9, 2),
          newCheckpoint(tenantId, 9, 1),
          newCheckpoint(tenantId, 10, 1),
        ];
        for (const checkpoint of refused) {
          expect(await store.saveCheckpoint(checkpoint, [newNode(8, 0)])).toBe(false);
        }
        expect(plain(await store.checkpoint(tenantId))).toEqual(plain(newest));
        expect(await store.nodes(tenantId, 8, 0, 255)).toEqual([]);
      });

      it('takes a note with more cosignatures for the same root', async () => {
        const one = newCheckpoint(newTenant(), 5);
        const cosigned = { ...one, note: `${one.note}— witness.example.com/w AAAA\n` };
        await store.saveCheckpoint(one, []);
        expect(await store.saveCheckpoint(cosigned, [])).toBe(true);
        expect((await store.checkpoint(one.tenantId))?.note).toBe(cosigned.note);
      });

      it('takes the checkpoint of a newer epoch, also of a smaller log', async () => {
        const tenantId = newTenant();
        const again = newCheckpoint(tenantId, 3, 2);
        await store.saveCheckpoint(newCheckpoint(tenantId, 9, 1), []);
        expect(await store.saveCheckpoint(again, [])).toBe(true);
        expect(plain(await store.checkpoint(tenantId))).toEqual(plain(again));
      });

      it('never goes back when many save at once', async () => {
        const tenantId = newTenant();
        const sizes = Array.from({ length: 20 }, (_, i) => ((i * 7) % 20) + 1);
        await Promise.all(sizes.map((size) => store.saveCheckpoint(newCheckpoint(tenantId, size), [])));
        expect((await store.checkpoint(tenantId))?.size).toBe(20);
      });

      it('has one winner among different roots of one size', async () => {
        const rivals = ((tenantId) => Array.from({ length: 10 }, () => newCheckpoint(tenantId, 4)))(newTenant());
        const won = await Promise.all(rivals.map((rival) => store.saveCheckpoint(rival, [])));
        expect(won.filter(Boolean)).toHaveLength(1);
        expect(plain(await store.checkpoint(rivals[0]!.tenantId))).toEqual(plain(rivals[won.indexOf(true)]));
      });
    });

    describe('nodes', () => {
      it('are kept by level and index, for their tenant', async () => {
        const tenantId = newTenant();
        const [low, high] = [Array.from({ length: 256 }, (_, i) => newNode(8, i)), [newNode(16, 0)]];
        await store.saveCheckpoint(newCheckpoint(tenantId, 65_536), [...low.toReversed(), ...high]);
        const hashes = plain(low.map(({ hash }) => hash));
        expect(plain(await store.nodes(tenantId, 8, 0, 255))).toEqual(hashes);
        expect(plain(await store.nodes(tenantId, 8, 3, 5))).toEqual(hashes.slice(3, 6));
        expect(plain(await store.nodes(tenantId, 8, 254, 400))).toEqual(hashes.slice(254));
        expect(plain(await store.nodes(tenantId, 16, 0, 255))).toEqual(plain(high.map(({ hash }) => hash)));
        expect(await store.nodes(tenantId, 24, 0, 255)).toEqual([]);
        expect(await store.nodes(newTenant(), 8, 0, 255)).toEqual([]);
      });

      it('stay as they are once they are stored', async () => {
        const tenantId = newTenant();
        const [node, other] = [newNode(8, 0), newNode(8, 1)];
        await store.saveCheckpoint(newCheckpoint(tenantId, 300), [node]);
        const again = newCheckpoint(tenantId, 600);
        expect(await store.saveCheckpoint(again, [newNode(8, 0), other])).toBe(true);
        expect(plain(await store.nodes(tenantId, 8, 0, 9))).toEqual(plain([node.hash, other.hash]));
        expect((await store.checkpoint(tenantId))?.size).toBe(600);
      });
    });

    describe('grown', () => {
      it('gives the logs that are larger than their newest checkpoint, in the order of their bytes, in pages', async () => {
        const prefix = newTenant('grown');
        // As UTF-16 the last two would stand the other way round.
        const ids = ['!', 'A', 'Z', 'a', 'z', 'é', '\uff5e', '😀'].map((end) => `${prefix}${end}`);
        for (const id of ids.toReversed()) await grow(id, 2);
        await store.saveCheckpoint(newCheckpoint(ids[1]!, 2), []);
        await store.saveCheckpoint(newCheckpoint(ids[3]!, 1), []);
        const expected = ids.toSpliced(1, 1);
        const found: GrownLog[] = [];
        for (let after = prefix, more = true; more; after = found.at(-1)?.tenantId ?? '') {
          const logs = await store.grown(after, 3);
          found.push(...logs);
          more = logs.length === 3;
        }
        // Other tests have grown logs too, which come after these.
        expect(found.slice(0, expected.length).map(({ tenantId }) => tenantId)).toEqual(expected);
        for (const { tenantId, head } of found) expect(plain(head)).toEqual(plain(await store.head(tenantId)));
      });

      it('gives a log again when it has grown again, and the first for an empty `after`', async () => {
        const tenantId = `!${newTenant()}`;
        const size = await grow(tenantId, 1);
        expect((await store.grown('', 1))[0]?.tenantId).toBe(tenantId);
        await store.saveCheckpoint(newCheckpoint(tenantId, size), []);
        expect((await store.grown('', 1))[0]?.tenantId).not.toBe(tenantId);
        await grow(tenantId, 1);
        expect((await store.grown('', 1))[0]).toMatchObject({ tenantId, head: { seq: 2 } });
        await store.saveCheckpoint(newCheckpoint(tenantId, 2), []);
      });

      it('gives a log of which the newest checkpoint was made on demand, until it is reported', async () => {
        const tenantId = `!${newTenant()}`;
        const size = await grow(tenantId, 3);
        const first = async (): Promise<string | undefined> => (await store.grown('', 1))[0]?.tenantId;
        const [one, two] = [newCheckpoint(tenantId, size - 1), newCheckpoint(tenantId, size)];
        await store.saveCheckpoint(one, []);
        expect(await store.saveCheckpoint(two, [], false)).toBe(true);
        expect(plain(await store.checkpoint(tenantId))).toEqual(plain(two));
        expect(await first()).toBe(tenantId);
        expect(await store.saveCheckpoint(two, [], true)).toBe(true);
        expect(await first()).not.toBe(tenantId);
        // On demand again, with more cosignatures: it was reported all the same.
        await store.saveCheckpoint({ ...two, note: `${two.note}— w AAAA\n` }, [], false);
        expect(await first()).not.toBe(tenantId);
      });

      it('gives a log that began a new epoch, however large the checkpoint of the one before was', async () => {
        const tenantId = `!${newTenant()}`;
        await grow(tenantId, 1);
        await store.saveCheckpoint(newCheckpoint(tenantId, 50), []);
        await store.openEpoch(2, newEntry(tenantId));
        expect((await store.grown('', 1))[0]).toMatchObject({ tenantId, head: { seq: 2, epoch: 2 } });
        await store.saveCheckpoint(newCheckpoint(tenantId, 2, 2), []);
        expect((await store.grown('', 1))[0]?.tenantId).not.toBe(tenantId);
      });
    });

    describe('openEpoch', () => {
      it('begins a new epoch once, with one entry, whoever asks', async () => {
        const tenantId = newTenant();
        const entries = newEntries(tenantId, 2);
        await store.append([batchOf(EMPTY, entries)], []);
        const opening = newEntries(tenantId, 10);
        const heads = await Promise.all(opening.map((entry) => store.openEpoch(2, entry)));
        const won = heads.findIndex((head) => head !== undefined);
        expect(heads.filter((head) => head !== undefined)).toHaveLength(1);
        const log = follow(EMPTY, [...entries, opening[won]!]);
        expect(plain(await wholeLog(store, tenantId))).toEqual(plain(log));
        const head = { seq: 3, hash: log[2]!.entryHash, epoch: 2 };
        expect(plain(heads[won])).toEqual(plain(head));
        expect(plain(await store.head(tenantId))).toEqual(plain(head));
      });

      it('changes nothing when the epoch is that or more already', async () => {
        const tenantId = newTenant();
        await grow(tenantId, 1);
        expect(await store.openEpoch(1, newEntry(tenantId))).toBeUndefined();
        expect(await store.openEpoch(5, newEntry(tenantId))).toMatchObject({ seq: 2, epoch: 5 });
        expect(await store.openEpoch(4, newEntry(tenantId))).toBeUndefined();
        expect(await store.openEpoch(5, newEntry(tenantId))).toBeUndefined();
        expect(await wholeLog(store, tenantId)).toHaveLength(2);
      });

      it('begins the log of which nothing is left', async () => {
        const entry = newEntry(newTenant());
        const [first] = follow(EMPTY, [entry]);
        const head = { seq: 1, hash: plain(first!.entryHash), epoch: 2 };
        expect(plain(await store.openEpoch(2, entry))).toEqual(head);
        expect(plain(await store.head(entry.tenantId))).toEqual(head);
      });

      it('is seen by those who append: what they get is the head with its epoch', async () => {
        const tenantId = newTenant();
        const begun = batchOf(EMPTY, newEntries(tenantId, 1));
        await store.append([begun], []);
        const head = (await store.openEpoch(2, newEntry(tenantId)))!;
        expect(plain(await store.append([begun], []))).toEqual([plain(head)]);
        expect(await store.append([batchOf(head, newEntries(tenantId, 1))], [])).toEqual([true]);
        const turn = await store.appendInTurn(newEntries(tenantId, 1), []);
        expect(turn).toMatchObject({ first: 4, head: { seq: 4, epoch: 2 } });
      });
    });
  });
}

function newCheckpoint(tenantId: string, size: number, epoch = 1): StoredCheckpoint {
  const root = randomBytes(32);
  const note = `kms.example.com/audit/x/${epoch}\n${size}\n${root.toString('base64')}\n\n— kms.example.com/audit ${root.toString('base64')}\n`;
  return { tenantId, epoch, size, root, note };
}

function newNode(level: number, index: number): StoredNode {
  return { level, index, hash: randomBytes(32) };
}
