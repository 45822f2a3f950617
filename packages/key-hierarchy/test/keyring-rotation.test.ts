import { describe, expect, test } from 'vitest';
import { rejection } from './cases.ts';
import {
  holding,
  opens,
  parallel,
  Poller,
  scope,
  scopeNumber,
  seal,
  sealNow,
  server,
  tally,
  TestStore,
  turn,
  versionOf,
} from './fixture.ts';

const versions = (store: TestStore): number[] => store.made.map(({ version }) => version);
const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);

describe('rotation', () => {
  test('makes the next version, which encrypts from then on, while the old one decrypts', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const old = await seal(keyring);
    const successor = await keyring.rotate(scope);
    expect(successor).toMatchObject({ ...scope, version: 2 });
    const young = await seal(keyring);
    expect(versionOf(young)).toBe(successor.id);
    expect(await opens(keyring, old)).toBe(true);
    expect(await opens(keyring, young)).toBe(true);
    expect(await store.findVersion(scope, versionOf(old))).toMatchObject({ status: 'retired' });
    expect(await keyring.info(scope)).toMatchObject({ keyVersionId: successor.id, version: 2, status: 'active' });
  });

  test('is seen by this server at once, before the change log tells', async () => {
    const store = new TestStore();
    const { keyring } = server(store, { changes: new Poller(store) });
    await seal(keyring);
    const { id } = await keyring.rotate(scope);
    expect(versionOf(await seal(keyring))).toBe(id);
    // And the next lease does not bring the old one back.
    for (let i = 0; i < 300; i++) expect(versionOf(await seal(keyring))).toBe(id);
  });

  test('touches no other scope', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    const other = await seal(keyring, scopeNumber(1));
    await seal(keyring);
    await keyring.rotate(scope);
    expect(versionOf(sealNow(keyring, scopeNumber(1)))).toBe(versionOf(other));
  });

  test('numbers versions without holes, however many rotate at once', async () => {
    const store = new TestStore();
    const servers = [server(store).keyring, server(store).keyring, server(store).keyring];
    await seal(servers[0]!);
    const made = await parallel(6, (i) => servers[i % 3]!.rotate(scope));
    expect(versions(store)).toEqual(upTo(7));
    expect(new Set(made.map(({ id }) => id)).size).toBe(6);
    const current = await store.findCurrent(scope);
    for (const keyring of servers) expect(versionOf(await seal(keyring))).toBe(current?.id);
  });

  test('gives up when others keep coming first', async () => {
    const store = new TestStore();
    const { keyring } = server(store);
    await seal(keyring);
    store.succeed = async () => ({ replaced: false, written: undefined });
    expect(await rejection(keyring.rotate(scope))).toBe('ROTATION_CONFLICT');
  });

  test('works on a version whose row no longer opens', async () => {
    const store = new TestStore();
    await seal(server(store).keyring);
    const row = (await store.findCurrent(scope))!;
    store.tamper({ ...row, wrappedDek: new Uint8Array(60) });
    const { keyring } = server(store);
    const { id } = await keyring.rotate(scope);
    expect(versionOf(await seal(keyring))).toBe(id);
  });
});

describe('a rotation on another server', () => {
  test('counts here when its change number arrives, and the old version may be used until then', async () => {
    const store = new TestStore();
    const changes = new Poller(store);
    const { keyring } = server(store, { changes });
    const old = await seal(keyring);
    const { id } = await server(store).keyring.rotate(scope);
    expect(versionOf(sealNow(keyring))).toBe(versionOf(old));
    changes.poll();
    expect(keyring.encryptor(scope, 1)).toBeInstanceOf(Promise);
    expect(versionOf(await seal(keyring))).toBe(id);
    expect(await opens(keyring, old)).toBe(true);
  });

  test('is found by the next lease even before its change number arrives', async () => {
    const store = new TestStore();
    const changes = new Poller(store);
    const { keyring } = server(store, { changes });
    await seal(keyring);
    const { id } = await server(store).keyring.rotate(scope);
    for (let i = 0; i < 200; i++) sealNow(keyring);
    await turn();
    expect(versionOf(sealNow(keyring))).toBe(id);
    // What was leased of the new version is used, not leased again.
    expect(store.count('lease')).toBe(2);
  });

  test('that overtakes a load is not missed: the load is done again', async () => {
    const store = new TestStore();
    const changes = new Poller(store);
    await seal(server(store).keyring);
    const held = holding(store, 'lease');
    const { keyring } = server(store, { changes, store: held.store });
    held.hold();
    const waiting = [seal(keyring), seal(keyring)];
    await turn();
    expect(held.waiting).toBe(1);
    const { id } = await server(store).keyring.rotate(scope);
    changes.poll();
    held.release();
    expect((await Promise.all(waiting)).map(versionOf)).toEqual([id, id]);
    expect(versionOf(sealNow(keyring))).toBe(id);
  });

  test('that overtakes a load and is heard of later makes what was loaded cold', async () => {
    const store = new TestStore();
    const changes = new Poller(store);
    await seal(server(store).keyring);
    const held = holding(store, 'lease');
    const { keyring } = server(store, { changes, store: held.store });
    held.hold();
    const waiting = seal(keyring);
    await turn();
    const { id } = await server(store).keyring.rotate(scope);
    held.release();
    expect(versionOf(await waiting)).not.toBe(id);
    changes.poll();
    expect(versionOf(await seal(keyring))).toBe(id);
  });

  test('that overtakes the load of a row does not leave that row warm', async () => {
    const store = new TestStore();
    const changes = new Poller(store);
    const blob = await seal(server(store).keyring);
    const held = holding(store, 'findVersion');
    const { keyring } = server(store, { changes, store: held.store });
    held.hold();
    const waiting = opens(keyring, blob);
    await turn();
    await server(store).keyring.rotate(scope);
    changes.poll();
    held.release();
    expect(await waiting).toBe(true);
    const before = store.count('findVersion');
    expect(await opens(keyring, blob)).toBe(true);
    expect(store.count('findVersion')).toBe(before + 1);
  });
});

test('a rotation on this server is not undone by a load whose answer comes after it', async () => {
  const store = new TestStore();
  await seal(server(store).keyring);
  const held = holding(store, 'lease');
  // A clock that hears of nothing for the moment.
  const { keyring } = server(store, { changes: new Poller(store), store: held.store });
  held.hold();
  const waiting = seal(keyring);
  await turn();
  const { id } = await keyring.rotate(scope);
  held.release();
  expect(versionOf(await waiting)).toBe(id);
  expect(versionOf(await seal(keyring))).toBe(id);
});

test('a rotation of many scopes nobody encrypts in leaves the caches alone', async () => {
  const store = new TestStore();
  const { keyring } = server(store, { cacheSize: 2 });
  await seal(keyring);
  for (let i = 0; i < 10; i++) {
    await keyring.create(scopeNumber(i));
    await keyring.rotate(scopeNumber(i));
  }
  sealNow(keyring);
});

test('rotation under load on two servers loses nothing', async () => {
  const store = new TestStore();
  const clocks = [new Poller(store), new Poller(store)];
  const servers = clocks.map((changes) => server(store, { changes, maxEncryptions: 5000 }).keyring);
  const blobs: Buffer[] = [];
  let done = false;
  const polling = (async () => {
    while (!done) {
      await turn();
      for (const clock of clocks) clock.poll();
    }
  })();
  const load = parallel(20, async (i) => {
    for (let n = 0; n < 50; n++) {
      blobs.push(await seal(servers[i % 2]!));
      if (n % 5 === 0) await turn();
      if (n % 10 === 0) expect(await opens(servers[(i + 1) % 2]!, blobs.at(-1)!)).toBe(true);
    }
  });
  const rotating = parallel(2, async (i) => {
    for (let n = 0; n < 8; n++) {
      await servers[i]!.rotate(scope).catch((error: { code?: string }) => {
        if (error.code !== 'KEY_NOT_FOUND') throw error;
      });
      await turn();
    }
  });
  await Promise.all([load, rotating]);
  done = true;
  await polling;
  expect(blobs).toHaveLength(1000);
  expect(versions(store)).toEqual(upTo(store.made.length));
  expect(store.made.length).toBeGreaterThan(10);
  expect(tally(blobs).size).toBeGreaterThan(3);
  const cold = server(store).keyring;
  for (const blob of blobs) expect(await opens(cold, blob)).toBe(true);
});
