import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { AeadKey, SecretBytes, aeadOpenBlob, hkdf, toHex, utf8 } from '../src/index.ts';
import { codeOf, h } from './cases.ts';
import { vectorJson, vectorsAbsent } from './vectors.ts';

interface KeyWrap {
  curve: 'P-256' | 'P-384';
  ephemeral_pub: string;
  hkdf_salt: string;
  hkdf_info: string;
  member_private_pkcs8_pem: string;
  org_ca_key_curveid_D: string;
  wrapped_nonce_ct_tag: string;
}

interface Compat {
  orgca_key_wrap: KeyWrap[];
  aes256gcm_blobs: { key: string; aad_utf8: string; plaintext: string; blob_nonce_ct_tag: string }[];
  hkdf_org_keys: {
    root_key: string;
    org_id: string;
    salt_utf8: string;
    org_master_key: string;
    subkey: string;
    subkey_purpose: string;
  }[];
}

describe.skipIf(vectorsAbsent)('what the Go miniKMS computed', () => {
  const compat = vectorJson<Compat>('minikms-compat/minikms-crypto-vectors.json');

  test('tenant master keys are HKDF(root, salt, tenant)', () => {
    expect(compat.hkdf_org_keys.length).toBe(5);
    for (const c of compat.hkdf_org_keys) {
      const tmk = hkdf(h(c.root_key), utf8(c.salt_utf8), utf8(c.org_id), 32);
      expect(toHex(tmk)).toBe(c.org_master_key);
      expect(toHex(hkdf(tmk, utf8(c.salt_utf8), utf8(c.subkey_purpose), 32))).toBe(c.subkey);
    }
  });

  test('its AES-256-GCM blobs open', () => {
    expect(compat.aes256gcm_blobs.length).toBe(4);
    for (const c of compat.aes256gcm_blobs) {
      const key = AeadKey.from(SecretBytes.from('dek', h(c.key)));
      const blob = h(c.blob_nonce_ct_tag);
      expect(toHex(aeadOpenBlob(key, blob, utf8(c.aad_utf8)))).toBe(c.plaintext);
      expect(codeOf(() => aeadOpenBlob(key, blob, utf8(`${c.aad_utf8}x`)))).toBe('CIPHERTEXT_INVALID');
    }
  });

  test('its key wraps open: ECDH, HKDF, blob', () => {
    expect(compat.orgca_key_wrap.length).toBe(2);
    for (const c of compat.orgca_key_wrap) {
      const shared = diffieHellman({
        privateKey: createPrivateKey(c.member_private_pkcs8_pem),
        publicKey: publicKey(c.curve, h(c.ephemeral_pub)),
      });
      const kek = SecretBytes.take('wrap', hkdf(shared, utf8(c.hkdf_salt), utf8(c.hkdf_info), 32));
      const unwrapped = aeadOpenBlob(AeadKey.from(kek), h(c.wrapped_nonce_ct_tag), new Uint8Array());
      expect(toHex(unwrapped)).toBe(c.org_ca_key_curveid_D);
    }
  });
});

/** The key of an uncompressed point, 0x04 ‖ x ‖ y. */
function publicKey(crv: string, point: Uint8Array): ReturnType<typeof createPublicKey> {
  const half = (point.length - 1) / 2;
  const [x, y] = [point.subarray(1, 1 + half), point.subarray(1 + half)].map((part) =>
    Buffer.from(part).toString('base64url'),
  );
  return createPublicKey({ format: 'jwk', key: { kty: 'EC', crv, x: x!, y: y! } });
}
