import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RootKeyRegistry, ServerKeyRow, ServerKeyStore } from '../ports.ts';

interface Opened {
  readonly serverKeys: ServerKeyStore;
  readonly roots: RootKeyRegistry;
  close(): Promise<void>;
}

/** What every {@link ServerKeyStore} does; `open` gives an empty store. */
export function serverKeyStoreContract(name: string, open: () => Promise<Opened>): void {
  describe(`${name} as a store of server keys`, () => {
    let opened: Opened;
    let store: ServerKeyStore;
    beforeAll(async () => {
      opened = await open();
      store = opened.serverKeys;
    });
    afterAll(() => opened.close());

    it('counts its rows among those that are wrapped', async () => {
      expect(await opened.roots.load()).toEqual({ recorded: undefined, hasWrappedRows: false });
      await store.create(newRow());
      expect(await opened.roots.load()).toEqual({ recorded: undefined, hasWrappedRows: true });
    });

    it('stores a key and gives it back whole, and nothing for other purposes', async () => {
      const row = newRow();
      expect(await store.load(row.purpose)).toBeUndefined();
      expect(await store.create(row)).toEqual(row);
      expect(await store.load(row.purpose)).toEqual(row);
      expect(await store.load(row.purpose.toUpperCase())).toBeUndefined();
    });

    it('keeps the key that a purpose has', async () => {
      const row = newRow();
      await store.create(row);
      expect(await store.create({ ...newRow(), purpose: row.purpose })).toEqual(row);
      expect(await store.load(row.purpose)).toEqual(row);
    });

    it('has one winner when many store a key for one purpose, and tells all of them which', async () => {
      const { purpose } = newRow();
      const rows = Array.from({ length: 20 }, () => ({ ...newRow(), purpose }));
      const stored = await Promise.all(rows.map((row) => store.create(row)));
      const winner = await store.load(purpose);
      expect(rows).toContainEqual(winner);
      for (const row of stored) expect(row).toEqual(winner);
    });
  });
}

function newRow(): ServerKeyRow {
  const bytes = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
  return {
    purpose: `purpose-${randomUUID()}`,
    name: 'kms.example.com/audit ü',
    publicKey: bytes(32),
    wrappedKey: bytes(60),
    rootKeyId: bytes(16),
    saltId: bytes(16),
  };
}
