import { hkdfExpand, type SecretBytes, SecretBytes as Secret, toHex, utf8 } from '@minikms/crypto-core';
import { describe, expect, test } from 'vitest';
import { purposeKey, type Root, tenantMasterKey } from '../src/derive.ts';
import { DEFAULT_HKDF_SALT, openRoot, type Purpose, serverKey } from '../src/index.ts';
import { codeOf, compatAbsent, compatKeys, h, rootOf } from './cases.ts';

const hex = (secret: SecretBytes<string>): string => secret.expose(toHex);
const compat = compatKeys();

describe.skipIf(compatAbsent)('what the Go miniKMS derived', () => {
  test('the vectors are there', () => expect(compat.length).toBe(5));

  test.each(compat)('the master key of $org_id under the salt "$salt_utf8"', (c) => {
    const root = openRoot(Secret.take('root-key', h(c.root_key)), c.salt_utf8);
    expect(hex(tenantMasterKey(root, c.org_id, 0))).toBe(c.org_master_key);
  });
});

test('the salt of the Go service is the default', () => expect(DEFAULT_HKDF_SALT).toBe('envsync-minikms-v1'));

describe('purpose keys', () => {
  test('are HKDF-Expand alone, one for each purpose', () => {
    const root = rootOf();
    const expanded = (purpose: string): string =>
      tenantMasterKey(root, 'acme', 0).expose((prk) => toHex(hkdfExpand(prk, utf8(`minikms/v1/${purpose}`), 32)));
    expect(hex(purposeKey(root, 'acme', 0, 'dek-wrap'))).toBe(expanded('dek-wrap'));
    // Purposes of later packages: their keys must already be apart.
    const purposes = ['dek-wrap', 'ca-key-wrap', 'dek-wrap2', 'dek-wra'] as Purpose[];
    const keys = purposes.map((purpose) => hex(purposeKey(root, 'acme', 0, purpose)));
    expect(new Set(keys).size).toBe(purposes.length);
    expect(keys).not.toContain(hex(tenantMasterKey(root, 'acme', 0)));
  });

  test('differ by tenant, generation, root key and salt', () => {
    const key = (root: Root, tenant: string, generation: number): string =>
      hex(purposeKey(root, tenant, generation, 'dek-wrap'));
    const keys = [
      key(rootOf(), 'acme', 0),
      key(rootOf(), 'acmf', 0),
      key(rootOf(), 'Acme', 0),
      key(rootOf(), 'acme', 1),
      key(rootOf(), 'acme', 256),
      key(rootOf(8), 'acme', 0),
      key(rootOf(7, 'another salt'), 'acme', 0),
      key(rootOf(7, ''), 'acme', 0),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });

  test('refuse a generation that is no uint32', () => {
    for (const generation of [-1, 0.5, 2 ** 32, NaN]) {
      expect(codeOf(() => tenantMasterKey(rootOf(), 'acme', generation))).toBe('LENGTH_INVALID');
    }
  });
});

describe('server keys', () => {
  test('are no tenant key and no check value', () => {
    const root = rootOf();
    const server = hex(serverKey(root, 'row-cache-mac'));
    const tenants = ['row-cache-mac', 'root-key-id', 'acme'].flatMap((tenant) => [
      hex(tenantMasterKey(root, tenant, 0)),
      hex(tenantMasterKey(root, tenant, 1)),
      hex(purposeKey(root, tenant, 0, 'dek-wrap')),
    ]);
    expect(tenants).not.toContain(server);
    expect(server.slice(0, 32)).not.toBe(toHex(root.check.rootKeyId));
    expect(server.slice(0, 32)).not.toBe(toHex(root.check.saltId));
    // HKDF output of 16 bytes is the beginning of that of 32: a check value must not give away half a tenant's key.
    expect(tenants.map((key) => key.slice(0, 32))).not.toContain(toHex(root.check.saltId));
    expect(tenants.map((key) => key.slice(0, 32))).not.toContain(toHex(root.check.rootKeyId));
  });

  test('stay the same when the salt changes, so that the salt alone can be told apart', () => {
    expect(hex(serverKey(rootOf(), 'row-cache-mac'))).toBe(hex(serverKey(rootOf(7, 'x'), 'row-cache-mac')));
    expect(hex(serverKey(rootOf(), 'row-cache-mac'))).not.toBe(hex(serverKey(rootOf(8), 'row-cache-mac')));
  });
});

describe('check values', () => {
  test('tell root keys and salts apart', () => {
    const { rootKeyId, saltId } = rootOf().check;
    expect([rootKeyId.length, saltId.length]).toEqual([16, 16]);
    expect(rootOf().check).toEqual({ rootKeyId, saltId });
    expect(toHex(rootOf(8).check.rootKeyId)).not.toBe(toHex(rootKeyId));
    expect(toHex(rootOf(7, 'x').check.rootKeyId)).toBe(toHex(rootKeyId));
    expect(toHex(rootOf(7, 'x').check.saltId)).not.toBe(toHex(saltId));
    expect(toHex(rootOf(7, 'x').check.saltId)).not.toBe(toHex(rootOf(7, 'x ').check.saltId));
  });
});

describe('a root', () => {
  test.each(['\0', 'x\0', '\0x', 'a\0b'])('refuses the salt %j', (salt) => {
    expect(codeOf(() => rootOf(7, salt))).toBe('SALT_INVALID');
  });

  test('refuses a salt that has no UTF-8 encoding', () => {
    expect(codeOf(() => rootOf(7, '\ud800'))).toBe('SALT_INVALID');
  });

  test.each([0, 1, 16, 31, 33, 64])('refuses a root key of %i bytes', (length) => {
    expect(codeOf(() => openRoot(Secret.take('root-key', new Uint8Array(length)), 'salt'))).toBe('ROOT_KEY_INVALID');
  });

  test('does not print its key', () => {
    const root = openRoot(Secret.take('root-key', new Uint8Array(32).fill(0xab)), 'salt');
    expect(JSON.stringify(root)).not.toMatch(/abab|171,171/);
    expect(String(root.secret)).toBe('[SecretBytes]');
  });

  test('derives nothing after its key was destroyed', () => {
    const root = rootOf();
    root.secret.destroy();
    expect(codeOf(() => tenantMasterKey(root, 'acme', 0))).toBe('SECRET_DESTROYED');
    expect(codeOf(() => serverKey(root, 'row-cache-mac'))).toBe('SECRET_DESTROYED');
  });
});
