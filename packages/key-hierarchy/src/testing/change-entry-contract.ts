import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ChangeEntry, KeyStore, NewKeyVersion, Written } from '../ports.ts';
import { newScope, newVersion } from './rows.ts';

interface Opened {
  readonly keys: KeyStore;
  /** The entries of a log, in its order. */
  entries(tenantId: string): Promise<readonly (ChangeEntry & Written)[]>;
  close(): Promise<void>;
}

/** What every {@link KeyStore} does with the audit entries of changes; `open` gives an empty store. */
export function changeEntryContract(name: string, open: () => Promise<Opened>): void {
  describe(`${name} writes the audit entry of a change`, () => {
    let opened: Opened;
    let keys: KeyStore;
    beforeAll(async () => {
      opened = await open();
      keys = opened.keys;
    });
    afterAll(() => opened.close());

    async function stored(): Promise<NewKeyVersion> {
      const first = newVersion(newScope(), 1);
      await keys.createFirst(first, 0);
      return first;
    }

    it('with a first version, as it is, and tells where', async () => {
      const first = newVersion(newScope(), 1);
      const entry = newEntry(first.tenantId);
      const created = await keys.createFirst(first, 7, entry);
      expect(created).toMatchObject({ granted: 7, written: { tenantId: first.tenantId, seq: 1 } });
      expect(await opened.entries(first.tenantId)).toEqual([{ ...entry, seq: 1 }]);
    });

    it('with a succession, and numbers the entries of a log from 1', async () => {
      let current = await stored();
      const entries = Array.from({ length: 3 }, () => newEntry(current.tenantId));
      for (const [at, entry] of entries.entries()) {
        const successor = newVersion(current, current.version + 1);
        const written = { tenantId: current.tenantId, seq: at + 1 };
        expect(await keys.succeed(current.id, successor, entry)).toEqual({ replaced: true, written });
        current = successor;
      }
      expect(await opened.entries(current.tenantId)).toEqual(entries.map((entry, at) => ({ ...entry, seq: at + 1 })));
    });

    it('in the log that the entry names', async () => {
      const first = newVersion(newScope(), 1);
      const [log, other] = [`log-${randomUUID()}`, `log-${randomUUID()}`];
      expect((await keys.createFirst(first, 0, newEntry(log)))?.written).toEqual({ tenantId: log, seq: 1 });
      const successor = newVersion(first, 2);
      expect((await keys.succeed(first.id, successor, newEntry(other))).written).toEqual({ tenantId: other, seq: 1 });
      expect(await opened.entries(first.tenantId)).toEqual([]);
      expect(await opened.entries(log)).toHaveLength(1);
    });

    it('at the bounds of every field', async () => {
      const tenantId = `${'t'.repeat(64)}${randomUUID().padEnd(64, '-')}`;
      const text = (bytes: number): string => 'ü'.repeat(bytes / 2);
      const most = { action: text(128), actorId: text(256), details: text(16_384) };
      const largest = { ...newEntry(tenantId), ...most, timestampUs: Number.MAX_SAFE_INTEGER };
      const least = {
        tenantId,
        timestampUs: 0,
        action: '-',
        actorId: '',
        details: '',
        requestJwtHash: new Uint8Array(),
      };
      await keys.createFirst(newVersion(newScope(), 1), 0, largest);
      await keys.createFirst(newVersion(newScope(), 1), 0, least);
      expect(await opened.entries(tenantId)).toEqual([
        { ...largest, seq: 1 },
        { ...least, seq: 2 },
      ]);
    });

    it('for the winner of a race alone', async () => {
      const scope = newScope();
      const created = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const entry = newEntry(scope.tenantId);
          return { entry, lease: await keys.createFirst(newVersion(scope, 1), 1, entry) };
        }),
      );
      const [first] = created.filter(({ lease }) => lease !== undefined);
      if (first?.lease === undefined) throw new Error('no winner');
      expect(await opened.entries(scope.tenantId)).toEqual([{ ...first.entry, seq: 1 }]);
      const { row } = first.lease;
      const succeeded = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const entry = newEntry(scope.tenantId);
          return { entry, ...(await keys.succeed(row.id, newVersion(scope, 2), entry)) };
        }),
      );
      const winners = succeeded.filter(({ replaced }) => replaced);
      expect(winners).toHaveLength(1);
      expect(winners[0]?.written).toEqual({ tenantId: scope.tenantId, seq: 2 });
      expect(succeeded.filter(({ written }) => written !== undefined)).toHaveLength(1);
      expect(await opened.entries(scope.tenantId)).toMatchObject([{}, { ...winners[0]?.entry, seq: 2 }]);
    });

    it('and none without an entry, or when nothing changes', async () => {
      const first = await stored();
      const { tenantId } = first;
      expect(await keys.createFirst(newVersion(first, 1), 0, newEntry(tenantId))).toBeUndefined();
      const successor = newVersion(first, 2);
      expect(await keys.succeed(randomUUID(), successor, newEntry(tenantId))).toEqual(UNCHANGED);
      await expect(keys.succeed(first.id, newVersion(first, 3), newEntry(tenantId))).rejects.toThrow();
      expect(await keys.succeed(first.id, successor)).toEqual({ replaced: true, written: undefined });
      expect(await keys.succeed(first.id, newVersion(first, 2), newEntry(tenantId))).toEqual(UNCHANGED);
      expect(await opened.entries(tenantId)).toEqual([]);
    });

    it('in changes of many scopes at once, in a log without holes', async () => {
      const tenantId = `tenant-${randomUUID()}`;
      const written = await Promise.all(
        Array.from({ length: 10 }, async (_, at) => {
          const first = newVersion({ tenantId, scopeId: `scope-${at}` }, 1);
          const created = await keys.createFirst(first, 0, newEntry(tenantId));
          const succeeded = await keys.succeed(first.id, newVersion(first, 2), newEntry(tenantId));
          return [created?.written?.seq ?? 0, succeeded.written?.seq ?? 0];
        }),
      );
      const seqs = Array.from({ length: 20 }, (_, at) => at + 1);
      expect(written.flat().toSorted((a, b) => a - b)).toEqual(seqs);
      expect((await opened.entries(tenantId)).map(({ seq }) => seq)).toEqual(seqs);
    });

    it.each<Partial<ChangeEntry>>([
      { details: 'x'.repeat(16_385) },
      { details: 'ü'.repeat(8193) },
      { details: '\ud800' },
      { details: 'a\0b' },
      { action: '' },
      { action: 'x'.repeat(129) },
      { actorId: 'x'.repeat(257) },
      { tenantId: '' },
      { tenantId: 'x'.repeat(129) },
      { timestampUs: 1.5 },
      { timestampUs: 2 ** 60 },
      { requestJwtHash: new Uint8Array(31) },
    ])('or refuses it, and the change with it: %o', async (wrong) => {
      const first = newVersion(newScope(), 1);
      const entry = { ...newEntry(first.tenantId), ...wrong };
      const refused = { code: 'CHANGE_ENTRY_INVALID' };
      await expect(keys.createFirst(first, 0, entry)).rejects.toMatchObject(refused);
      expect(await keys.findVersion(first, first.id)).toBe('none');
      await keys.createFirst(first, 0);
      const successor = newVersion(first, 2);
      await expect(keys.succeed(first.id, successor, entry)).rejects.toMatchObject(refused);
      expect(await keys.findCurrent(first)).toMatchObject({ id: first.id, status: 'active' });
      expect(await opened.entries(first.tenantId)).toEqual([]);
    });
  });
}

const UNCHANGED = { replaced: false, written: undefined };

function newEntry(tenantId: string): ChangeEntry {
  return {
    tenantId,
    timestampUs: 1_767_225_600_000_000,
    action: 'kms.rotate_data_key',
    actorId: 'op_9f2',
    details: JSON.stringify({ request: randomUUID() }),
    requestJwtHash: new Uint8Array(randomBytes(32)),
  };
}
