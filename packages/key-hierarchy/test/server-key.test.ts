import {
  AeadKey,
  aeadSeal,
  concat,
  domainSeparated,
  fromHex,
  SecretBytes,
  Signer,
  toHex,
  verifySignature,
} from '@minikms/crypto-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  openRoot,
  openServerKey,
  type Root,
  serverKey,
  type ServerKeyRow,
  type ServerKeyStore,
  verifyRoot,
} from '../src/index.ts';
import { MemoryStore } from '../src/testing.ts';
import { type GoldenServerKey, goldenFile, h, rejection, rootOf } from './cases.ts';
import { parallel } from './fixture.ts';

const PURPOSE = 'audit-checkpoint';
const NAME = 'kms.example.com/audit';
const publicKeyOf = (seed: SecretBytes<'signing-seed'>): Uint8Array => Signer.fromSeed(seed).publicKey;

function open(store: ServerKeyStore, { root = rootOf(), name = NAME }: { root?: Root; name?: string } = {}) {
  return openServerKey({ root, store, purpose: PURPOSE, name, publicKeyOf });
}

function openAny(store: ServerKeyStore, root: Root = rootOf()) {
  return openServerKey({ root, store, purpose: PURPOSE, publicKeyOf });
}

/** A store that holds one row, or none. */
function holding(row: ServerKeyRow | undefined): ServerKeyStore {
  return {
    load: async () => row,
    create: async () => {
      throw new Error('nothing was to be made');
    },
  };
}

async function storedRow(): Promise<ServerKeyRow> {
  const store = new MemoryStore();
  await open(store.serverKeys);
  return store.serverKeyRows.get(PURPOSE)!;
}

describe('a server key', () => {
  test('is made at the first start, and the same at every later one', async () => {
    const store = new MemoryStore();
    const made = await open(store.serverKeys);
    expect(made.name).toBe(NAME);
    expect(made.secret.length).toBe(32);
    const again = await open(store.serverKeys);
    expect(again.secret.equals(made.secret)).toBe(true);
    expect(again.publicKey).toEqual(made.publicKey);
    expect(store.calls).toEqual(['serverKeys.load', 'serverKeys.create', 'serverKeys.load']);
    const message = Uint8Array.of(1, 2, 3);
    expect(verifySignature(made.publicKey, message, Signer.fromSeed(again.secret).sign(message))).toBe(true);
  });

  test('is one for all servers that start together', async () => {
    const store = new MemoryStore();
    const keys = await parallel(20, () => open(store.serverKeys));
    expect(new Set(keys.map(({ publicKey }) => toHex(publicKey))).size).toBe(1);
    for (const { secret } of keys) expect(secret.equals(keys[0]!.secret)).toBe(true);
  });

  test('is random: another installation with the same root key has another', async () => {
    const [a, b] = [await open(new MemoryStore().serverKeys), await open(new MemoryStore().serverKeys)];
    expect(a.secret.equals(b.secret)).toBe(false);
  });

  test('is not stored in clear, and its row tells the root key and the salt', async () => {
    const store = new MemoryStore();
    const { secret, publicKey } = await open(store.serverKeys);
    const row = store.serverKeyRows.get(PURPOSE)!;
    expect(row).toMatchObject({ purpose: PURPOSE, name: NAME, publicKey, ...rootOf().check });
    expect(row.wrappedKey).toHaveLength(60);
    expect(secret.expose((bytes) => Buffer.from(row.wrappedKey).includes(bytes))).toBe(false);
  });

  test('needs no configured salt, so that it opens under another one', async () => {
    const row = await storedRow();
    await open(holding(row), { root: rootOf(7, 'another salt') });
  });

  test('makes a start without check values of the root key fail', async () => {
    const store = new MemoryStore();
    await open(store.serverKeys);
    expect(await rejection(verifyRoot(store, rootOf()))).toBe('ROOT_KEY_UNRECORDED');
  });
});

describe('the name of a server key', () => {
  test('that is not configured is the stored one', async () => {
    expect((await openAny(holding(await storedRow()))).name).toBe(NAME);
  });

  test('that is another than the stored one is refused, naming both', async () => {
    const opened = open(holding(await storedRow()), { name: 'kms.example.org/audit' });
    expect(await rejection(opened)).toBe('SERVER_KEY_NAME_MISMATCH');
    await expect(opened).rejects.toThrow(/"kms\.example\.com\/audit", not "kms\.example\.org\/audit"/);
  });

  test('is needed to make a key', async () => {
    expect(await rejection(openAny(holding(undefined)))).toBe('SERVER_KEY_MISSING');
  });
});

describe('a stored server key', () => {
  test('that was changed anywhere does not open', async () => {
    const row = await storedRow();
    const fields = ['name', 'publicKey', 'wrappedKey', 'rootKeyId'] as const;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...fields),
        fc.nat(),
        fc.integer({ min: 1, max: 127 }),
        async (field, at, bits) => {
          const value = row[field];
          const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.from(value);
          bytes[at % bytes.length]! ^= bits;
          const changed = { ...row, [field]: typeof value === 'string' ? bytes.toString('latin1') : bytes };
          const code = field === 'rootKeyId' ? 'ROOT_KEY_MISMATCH' : 'KEY_UNWRAP_FAILED';
          expect(await rejection(openAny(holding(changed)))).toBe(code);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('of another root key is refused, naming it', async () => {
    const row = await storedRow();
    expect(await rejection(open(holding(row), { root: rootOf(8) }))).toBe('ROOT_KEY_MISMATCH');
    const forged = { ...row, rootKeyId: rootOf(8).check.rootKeyId };
    expect(await rejection(open(holding(forged), { root: rootOf(8) }))).toBe('KEY_UNWRAP_FAILED');
  });

  test('with a public key that is not that of its secret is refused', async () => {
    const row = await storedRow();
    const wrong = new Uint8Array(32);
    const options = { root: rootOf(), store: holding(row), purpose: PURPOSE, publicKeyOf: () => wrong } as const;
    expect(await rejection(openServerKey(options))).toBe('KEY_UNWRAP_FAILED');
  });

  test('leaves its secret to nobody when it is refused', async () => {
    const row = await storedRow();
    const seen: SecretBytes<'signing-seed'>[] = [];
    const opened = openServerKey({
      root: rootOf(),
      store: holding(row),
      purpose: PURPOSE,
      name: 'another',
      publicKeyOf: (secret) => (seen.push(secret), publicKeyOf(secret)),
    });
    expect(await rejection(opened)).toBe('SERVER_KEY_NAME_MISMATCH');
    expect(seen.map(({ destroyed }) => destroyed)).toEqual([true]);
  });

  test('is not made when the store is down', async () => {
    const store = new MemoryStore();
    store.down = true;
    expect(await rejection(open(store.serverKeys))).toBe('STORE_UNAVAILABLE');
    expect(store.serverKeyRows.size).toBe(0);
  });
});

const { server_keys: golden } = goldenFile();

test('the golden file has all of its server keys', () => {
  expect(golden.map(({ mutations }) => mutations.length)).toEqual([24, 24]);
});

describe.each(golden)('spec/vectors/key-hierarchy.json: server key: $name', (c) => {
  const rootOfCase = (of: GoldenServerKey): Root => openRoot(SecretBytes.take('root-key', h(of.root_key)), of.salt);
  const rowOf = (of: GoldenServerKey): ServerKeyRow => ({
    purpose: of.purpose,
    name: of.key_name,
    publicKey: h(of.public_key),
    wrappedKey: h(of.wrapped_key),
    rootKeyId: h(of.root_key_id),
    saltId: h(of.salt_id),
  });

  test('is reproduced from its nonce', () => {
    const root = rootOfCase(c);
    expect([toHex(root.check.rootKeyId), toHex(root.check.saltId)]).toEqual([c.root_key_id, c.salt_id]);
    expect(serverKey(root, 'server-key-wrap').expose(toHex)).toBe(c.server_key_wrap_key);
    const aad = domainSeparated('minikms/server-key/v1', c.purpose, c.key_name, h(c.public_key), h(c.root_key_id));
    expect(toHex(aad)).toBe(c.aad);
    const key = AeadKey.from(serverKey(root, 'server-key-wrap'));
    expect(toHex(concat(h(c.nonce), aeadSeal(key, h(c.nonce), fromHex(c.seed), aad)))).toBe(c.wrapped_key);
  });

  test('opens', async () => {
    const { secret, publicKey, name } = await openAny(holding(rowOf(c)), rootOfCase(c));
    expect(secret.expose(toHex)).toBe(c.seed);
    expect([toHex(publicKey), name]).toEqual([c.public_key, c.key_name]);
  });

  test.each(c.mutations)('is refused: $name', async (mutation) => {
    const changed = { ...c, ...mutation };
    expect(await rejection(openAny(holding(rowOf(changed)), rootOfCase(changed)))).toBe(mutation.expect);
  });
});
