import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KeyStore, NewKeyVersion, RootKeyRegistry } from '../ports.ts';
import { newScope, newVersion } from './rows.ts';

interface Opened {
  readonly keys: KeyStore;
  readonly roots: RootKeyRegistry;
  close(): Promise<void>;
}

/** What every {@link KeyStore} and {@link RootKeyRegistry} does; `open` gives an empty store. */
export function keyStoreContract(name: string, open: () => Promise<Opened>): void {
  describe(`${name} as a key store`, () => {
    let opened: Opened;
    let keys: KeyStore;
    beforeAll(async () => {
      opened = await open();
      keys = opened.keys;
    });
    afterAll(() => opened.close());

    it('records the check values of the root key once', async () => {
      const { roots } = opened;
      expect(await roots.load()).toEqual({ recorded: undefined, hasWrappedRows: false });
      const check = { rootKeyId: randomBytes(16), saltId: randomBytes(16) };
      const others = Array.from({ length: 5 }, () => ({ rootKeyId: randomBytes(16), saltId: randomBytes(16) }));
      await roots.record(check);
      await Promise.all(others.map((other) => roots.record(other)));
      const { recorded } = await roots.load();
      expect(Buffer.from(recorded?.rootKeyId ?? [])).toEqual(check.rootKeyId);
      expect(Buffer.from(recorded?.saltId ?? [])).toEqual(check.saltId);
    });

    it('has nothing for a scope without a key version', async () => {
      const scope = newScope();
      expect(await keys.lease(scope, 1)).toBeUndefined();
      expect(await keys.findCurrent(scope)).toBeUndefined();
      expect(await keys.findVersion(scope, randomUUID())).toBe('none');
    });

    it('stores a first version and gives it back whole', async () => {
      const first = newVersion(newScope(), 1);
      const lease = await keys.createFirst(first, 10);
      expect(lease).toMatchObject({ granted: 10, written: undefined });
      const row = await keys.findVersion(first, first.id);
      expect(row).toMatchObject({
        ...first,
        wrappedDek: expect.anything(),
        rootKeyId: expect.anything(),
        saltId: expect.anything(),
        status: 'active',
        leasedUses: 10,
        recordedUses: 0,
      });
      if (typeof row === 'string') throw new Error('not found');
      expect(Buffer.from(row.wrappedDek)).toEqual(Buffer.from(first.wrappedDek));
      expect(Buffer.from(row.rootKeyId)).toEqual(Buffer.from(first.rootKeyId));
      expect(Buffer.from(row.saltId)).toEqual(Buffer.from(first.saltId));
      expect(row.createdAt).toBeInstanceOf(Date);
      expect(await keys.findCurrent(first)).toEqual(row);
      expect((await opened.roots.load()).hasWrappedRows).toBe(true);
    });

    it('has one winner when many store the first version', async () => {
      const scope = newScope();
      const all = await Promise.all(Array.from({ length: 50 }, () => keys.createFirst(newVersion(scope, 1), 1)));
      const won = all.filter((lease) => lease !== undefined);
      expect(won).toHaveLength(1);
      expect((await keys.findCurrent(scope))?.id).toBe(won[0]?.row.id);
    });

    it('never leases more than the budget, and marks the version at 90 %', async () => {
      const first = newVersion(newScope(), 1, 100);
      await keys.createFirst(first, 0);
      const leases = await Promise.all(Array.from({ length: 30 }, () => keys.lease(first, 7)));
      expect(leases.reduce((sum, lease) => sum + (lease?.granted ?? 0), 0)).toBe(100);
      expect(
        leases.every((lease) => lease?.row.status === (lease!.row.leasedUses >= 90 ? 'rotate_pending' : 'active')),
      ).toBe(true);
      expect(await keys.findCurrent(first)).toMatchObject({ status: 'rotate_pending', leasedUses: 100 });
    });

    it('reads without leasing when nothing is wanted', async () => {
      const first = newVersion(newScope(), 1);
      await keys.createFirst(first, 3);
      expect(await keys.lease(first, 0)).toMatchObject({ granted: 0, row: { leasedUses: 3, status: 'active' } });
    });

    it('replaces the current version once, whoever asks', async () => {
      const first = newVersion(newScope(), 1);
      await keys.createFirst(first, 0);
      const successors = Array.from({ length: 20 }, () => newVersion(first, 2));
      const won = await Promise.all(successors.map((successor) => keys.succeed(first.id, successor)));
      expect(won.filter(({ replaced }) => replaced)).toHaveLength(1);
      const current = await keys.findCurrent(first);
      expect(current).toMatchObject({
        version: 2,
        status: 'active',
        id: successors[won.findIndex(({ replaced }) => replaced)]?.id,
      });
      expect(await keys.findVersion(first, first.id)).toMatchObject({ version: 1, status: 'retired' });
      expect(await keys.createFirst(newVersion(first, 1), 0)).toBeUndefined();
    });

    it('refuses a successor that is not the next version, and stores nothing', async () => {
      const first = newVersion(newScope(), 1);
      await keys.createFirst(first, 0);
      await expect(keys.succeed(first.id, newVersion(first, 3))).rejects.toThrow();
      expect(await keys.findCurrent(first)).toMatchObject({ id: first.id, status: 'active' });
    });

    it('adds up recorded uses and ignores versions that are not there', async () => {
      const [a, b] = [newVersion(newScope(), 1), newVersion(newScope(), 1)];
      await keys.createFirst(a, 0);
      await keys.createFirst(b, 0);
      const uses = (version: NewKeyVersion, count: number) => ({
        tenantId: version.tenantId,
        scopeId: version.scopeId,
        id: version.id,
        uses: count,
      });
      const unknown = { ...newScope(), id: randomUUID(), uses: 1 };
      await Promise.all([
        keys.recordUses([uses(a, 3), uses(b, 4), unknown]),
        keys.recordUses([uses(b, 5), uses(a, 6)]),
        keys.recordUses([]),
      ]);
      expect((await keys.findCurrent(a))?.recordedUses).toBe(9);
      expect((await keys.findCurrent(b))?.recordedUses).toBe(9);
    });

    it('finds a version only for its own tenant and scope', async () => {
      const [a, b] = [newVersion(newScope(), 1), newVersion(newScope(), 1)];
      await keys.createFirst(a, 0);
      await keys.createFirst(b, 0);
      expect(await keys.findVersion(b, a.id)).toBe('other');
      expect(await keys.findVersion({ ...a, tenantId: b.tenantId }, a.id)).toBe('none');
      expect(await keys.succeed(a.id, newVersion(b, 2))).toEqual({ replaced: false, written: undefined });
      await keys.recordUses([{ tenantId: b.tenantId, scopeId: b.scopeId, id: a.id, uses: 5 }]);
      expect((await keys.findCurrent(a))?.recordedUses).toBe(0);
    });
  });
}
