import { describe, expect, test } from 'vitest';
import type { ChangeEntry, KeyChange } from '../src/index.ts';
import { rejection } from './cases.ts';
import { parallel, scope, scopeNumber, seal, server, TestStore, turn } from './fixture.ts';

/** An entry that says in its details what is changed and why. */
function entryOf(change: KeyChange, cause: unknown): ChangeEntry {
  return {
    tenantId: change.tenantId,
    timestampUs: 1_767_225_600_000_000,
    action: `key.${change.kind}`,
    actorId: '',
    details: JSON.stringify({ change, cause }),
    requestJwtHash: new Uint8Array(),
  };
}

const details = (store: TestStore): unknown[] =>
  store.entries.map((entry) => JSON.parse(entry.details) as { change: KeyChange; cause: unknown });

describe('a change is written with its entry', () => {
  test('when a key is created, and only then', async () => {
    const store = new TestStore();
    const { keyring } = server(store, { changeEntry: entryOf });
    const created = await keyring.create(scope, 'request 1');
    const { keyVersionId, version } = created;
    expect(created.written).toEqual({ tenantId: 'acme', seq: 1 });
    expect(await keyring.create(scope, 'request 2')).toEqual({ keyVersionId, version, written: undefined });
    expect(details(store)).toEqual([
      { change: { ...scope, kind: 'create', automatic: false, keyVersionId, version }, cause: 'request 1' },
    ]);
  });

  test('when the first encryption makes the key: by the call that came first', async () => {
    const store = new TestStore();
    const { keyring } = server(store, { changeEntry: entryOf });
    await parallel(3, async (i) => keyring.encryptor(scope, 1, `request ${i + 1}`));
    await keyring.encryptor(scope, 1, 'request 4');
    const { id } = store.made[0]!;
    expect(details(store)).toEqual([
      { change: { ...scope, kind: 'create', automatic: true, keyVersionId: id, version: 1 }, cause: 'request 1' },
    ]);
  });

  test('when it is rotated by hand', async () => {
    const store = new TestStore();
    const { keyring } = server(store, { changeEntry: entryOf });
    const { keyVersionId: oldKeyVersionId } = await keyring.create(scope, 'request 1');
    const { id, written } = await keyring.rotate(scope, 'request 2');
    expect(written).toEqual({ tenantId: 'acme', seq: 2 });
    expect(details(store)[1]).toEqual({
      change: { ...scope, kind: 'rotate', automatic: false, keyVersionId: id, version: 2, oldKeyVersionId },
      cause: 'request 2',
    });
  });

  test('when its budget ends, with no cause', async () => {
    const store = new TestStore();
    const { keyring } = server(store, { changeEntry: entryOf, maxEncryptions: 10 });
    await keyring.encryptor(scope, 9, 'request 1');
    await turn();
    const [first, second] = store.made;
    const rotated = { automatic: true, keyVersionId: second?.id, version: 2, oldKeyVersionId: first?.id };
    expect(details(store)).toEqual([
      expect.objectContaining({ cause: 'request 1' }),
      { change: { ...scope, kind: 'rotate', ...rotated } },
    ]);
  });

  test('of the winner alone when several change it', async () => {
    const store = new TestStore();
    const servers = [1, 2, 3].map(() => server(store, { changeEntry: entryOf, maxEncryptions: 10 }).keyring);
    const created = await parallel(9, (i) => servers[i % 3]!.create(scope, i));
    expect(created.filter(({ written }) => written !== undefined)).toHaveLength(1);
    const rotated = await parallel(6, (i) => servers[i % 3]!.rotate(scope, i));
    await parallel(40, (i) => seal(servers[i % 3]!));
    await turn();
    const ids = store.entries.map((entry) => (JSON.parse(entry.details) as { change: KeyChange }).change.keyVersionId);
    expect(ids).toEqual(store.made.map(({ id }) => id));
    expect(rotated.map(({ id, written }) => ids[(written?.seq ?? 0) - 1] === id)).toEqual(rotated.map(() => true));
  });
});

describe('a change without its entry', () => {
  test('is made when none is asked for', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    await keyring.create(scope, 'request 1');
    expect((await keyring.rotate(scope, 'request 2')).written).toBeUndefined();
    expect(store.entries).toEqual([]);
  });

  test.each([
    ['cannot be made', 'NO_ENTRY'],
    ['is out of bounds', 'CHANGE_ENTRY_INVALID'],
  ])('does not happen when the entry %s', async (_, code) => {
    const store = new TestStore();
    const { keyring, rotations } = server(store, {
      maxEncryptions: 10,
      changeEntry: (change, cause) => {
        if (cause === 'good') return entryOf(change, cause);
        if (code === 'NO_ENTRY') throw Object.assign(new Error('no entry'), { code });
        return { ...entryOf(change, cause), details: 'x'.repeat(20_000) };
      },
    });
    expect(await rejection(keyring.create(scope, 'wrong'))).toBe(code);
    expect(await rejection(Promise.resolve(keyring.encryptor(scope, 1, 'wrong')))).toBe(code);
    expect(store.made).toEqual([]);
    await keyring.create(scope, 'good');
    expect(await rejection(keyring.rotate(scope, 'wrong'))).toBe(code);
    // Reported like every automatic rotation that fails, and what was leased is used.
    expect((await keyring.encryptor(scope, 9)).granted).toBe(9);
    await turn();
    expect(rotations).not.toEqual([]);
    for (const { error } of rotations) expect(error).toMatchObject({ code });
    expect(store.made).toHaveLength(1);
    expect(store.entries).toHaveLength(1);
  });

  test('is not asked for by calls that change nothing', async () => {
    const store = new TestStore();
    let asked = 0;
    const { keyring } = server(store, { changeEntry: (change, cause) => (asked++, entryOf(change, cause)) });
    await seal(keyring);
    await parallel(20, () => seal(keyring));
    await keyring.create(scope);
    await keyring.info(scope);
    expect(await rejection(keyring.rotate(scopeNumber(1)))).toBe('KEY_NOT_FOUND');
    expect(asked).toBe(1);
  });
});
