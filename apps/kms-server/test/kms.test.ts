import { randomBytes, randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { CiphertextEncoding } from '@minikms/client';
import { testDatabase } from '@minikms/dev-postgres';
import { crc32c } from '@node-rs/crc32';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failure, serve, type TestServer } from './server.ts';

let server: TestServer;
let database: Awaited<ReturnType<typeof testDatabase>>;
let kms: TestServer['client']['kms'];

beforeAll(async () => {
  database = await testDatabase();
  server = await serve({ MINIKMS_DB_URL: database.url });
  kms = server.client.kms;
});
afterAll(async () => {
  await server.stop();
  await database.drop();
});

const RAW = CiphertextEncoding.CIPHERTEXT_ENCODING_RAW;
const newScope = () => ({ tenantId: `org-${randomUUID()}`, scopeId: 'app-test-001' });
const text = (value: string) => Buffer.from(value);

describe('what clients of the Go service do', () => {
  it('works unchanged, and again on the same scope', async () => {
    const scope = newScope();
    for (let run = 0; run < 2; run++) {
      const created = await kms.createDataKey(scope);
      expect(created.version).toBe(run + 1);
      const sealed = [];
      for (const value of ['one', 'two', 'three'])
        sealed.push(await kms.encrypt({ ...scope, plaintext: text(value), aad: value }));
      expect(new Set(sealed.map(({ keyVersionId }) => keyVersionId))).toEqual(new Set([created.keyVersionId]));
      const { newKeyVersionId } = await kms.rotateDataKey(scope);
      expect(newKeyVersionId).not.toBe(created.keyVersionId);
      const after = await kms.encrypt({ ...scope, plaintext: text('four'), aad: 'four' });
      expect(after.keyVersionId).toBe(newKeyVersionId);
      for (const [i, value] of ['one', 'two', 'three', 'four'].entries()) {
        const { ciphertext } = sealed[i] ?? after;
        expect((await kms.decrypt({ ...scope, ciphertext, aad: value })).plaintext).toEqual(text(value));
      }
    }
  });
});

describe('Encrypt and Decrypt', () => {
  it('round-trip any plaintext and aad, in both encodings', async () => {
    const scope = newScope();
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.string({ unit: 'binary', maxLength: 50 }).filter((aad) => aad.isWellFormed()),
        fc.constantFrom(0, 1, 2),
        async (plaintext, aad, ciphertextEncoding) => {
          const sealed = await kms.encrypt({
            ...scope,
            plaintext: Buffer.from(plaintext),
            aad,
            ciphertextEncoding: ciphertextEncoding as 0,
          });
          const opened = await kms.decrypt({
            ...scope,
            ciphertext: sealed.ciphertext,
            aad,
            keyVersionId: sealed.keyVersionId,
          });
          expect(opened.plaintext).toEqual(Buffer.from(plaintext));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('write base64 text by default and the blob when asked', async () => {
    const scope = newScope();
    const sealed = await kms.encrypt({ ...scope, plaintext: text('x') });
    expect(sealed.ciphertext.toString()).toMatch(/^[A-Za-z0-9+/]+=*$/);
    expect(sealed.ciphertext.length % 4).toBe(0);
    const raw = await kms.encrypt({ ...scope, plaintext: text('x'), ciphertextEncoding: RAW });
    expect(raw.ciphertext).toHaveLength(46);
    expect(raw.ciphertext[0]).toBe(1);
    expect(raw.ciphertext.toString('hex', 1, 17)).toBe(raw.keyVersionId.replaceAll('-', ''));
  });

  it('keep a leading byte order mark: it is part of the aad', async () => {
    const scope = newScope();
    const { ciphertext } = await kms.encrypt({ ...scope, plaintext: text('x'), aad: '\uFEFFa' });
    expect(await failure(kms.decrypt({ ...scope, ciphertext, aad: 'a' }))).toMatchObject({
      code: 'CIPHERTEXT_INVALID',
    });
    expect((await kms.decrypt({ ...scope, ciphertext, aad: '\uFEFFa' })).plaintext).toEqual(text('x'));
  });

  it('refuse base64 that is not canonical', async () => {
    const scope = newScope();
    const { ciphertext } = await kms.encrypt({ ...scope, plaintext: text('ab') });
    const encoded = ciphertext.toString();
    const other = [
      encoded.replace(/=+$/, ''),
      `${encoded}=`,
      `${encoded}\n`,
      ` ${encoded}`,
      `${encoded.slice(0, 8)}\n${encoded.slice(8)}`,
      `!${encoded.slice(1)}`,
      Buffer.from(encoded, 'base64').fill(0xff, 20).toString('base64url'),
    ];
    for (const bad of other) {
      expect(await failure(kms.decrypt({ ...scope, ciphertext: text(bad) }))).toMatchObject({
        code: 'CIPHERTEXT_MALFORMED',
        grpcStatus: status.INVALID_ARGUMENT,
      });
    }
    expect(await failure(kms.decrypt(scope))).toMatchObject({ code: 'CIPHERTEXT_MALFORMED' });
  });

  it('have one answer to every ciphertext that does not authenticate', async () => {
    const scope = newScope();
    const other = { ...scope, scopeId: 'other' };
    const { ciphertext } = await kms.encrypt({
      ...scope,
      plaintext: text('secret'),
      aad: 'a',
      ciphertextEncoding: RAW,
    });
    const fromOther = await kms.encrypt({ ...other, plaintext: text('secret'), aad: 'a', ciphertextEncoding: RAW });
    const answers = new Set<string>();
    const note = async (blob: Buffer, aad = 'a') => {
      const { code, message, grpcStatus } = await failure(kms.decrypt({ ...scope, ciphertext: blob, aad }));
      answers.add(`${grpcStatus} ${code} ${message}`);
    };
    // Every byte after the version: key version id, nonce, ciphertext, tag.
    for (let at = 1; at < ciphertext.length; at++) {
      const flipped = Buffer.from(ciphertext);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 0x40, at);
      await note(flipped);
    }
    await note(Buffer.concat([ciphertext, Buffer.of(0)]));
    await note(ciphertext.subarray(0, -1));
    await note(ciphertext, 'b');
    await note(ciphertext, '');
    await note(fromOther.ciphertext);
    expect([...answers]).toEqual([
      `${status.INVALID_ARGUMENT} CIPHERTEXT_INVALID ciphertext could not be authenticated`,
    ]);
  });

  it("refuse a key version id that is not the ciphertext's", async () => {
    const scope = newScope();
    const { ciphertext } = await kms.encrypt({ ...scope, plaintext: text('x') });
    expect(await failure(kms.decrypt({ ...scope, ciphertext, keyVersionId: randomUUID() }))).toMatchObject({
      code: 'KEY_VERSION_MISMATCH',
      grpcStatus: status.FAILED_PRECONDITION,
    });
    expect(await failure(kms.decrypt({ ...scope, ciphertext, keyVersionId: 'latest' }))).toMatchObject({
      code: 'ID_INVALID',
    });
  });

  it('verify checksums, say so, and answer with one', async () => {
    const scope = newScope();
    const plaintext = randomBytes(100);
    const sums = { plaintextCrc32c: crc32c(plaintext), aadCrc32c: crc32c('ü') };
    const sealed = await kms.encrypt({ ...scope, plaintext, aad: 'ü', ...sums });
    expect(sealed).toMatchObject({
      verifiedPlaintextCrc32c: true,
      verifiedAadCrc32c: true,
      ciphertextCrc32c: crc32c(sealed.ciphertext),
    });
    const ciphertextCrc32c = sealed.ciphertextCrc32c ?? 0;
    const opened = await kms.decrypt({ ...scope, ciphertext: sealed.ciphertext, aad: 'ü', ciphertextCrc32c });
    expect(opened).toMatchObject({
      verifiedCiphertextCrc32c: true,
      verifiedAadCrc32c: false,
      plaintextCrc32c: sums.plaintextCrc32c,
    });
    const wrong = { code: 'CHECKSUM_MISMATCH', grpcStatus: status.INVALID_ARGUMENT };
    expect(await failure(kms.encrypt({ ...scope, plaintext, plaintextCrc32c: 1 }))).toMatchObject(wrong);
    expect(await failure(kms.encrypt({ ...scope, plaintext, aad: 'u', aadCrc32c: sums.aadCrc32c }))).toMatchObject(
      wrong,
    );
    expect(await failure(kms.decrypt({ ...scope, ciphertext: sealed.ciphertext, ciphertextCrc32c: 0 }))).toMatchObject(
      wrong,
    );
    const plain = await kms.encrypt({ ...scope, plaintext });
    expect(plain).toMatchObject({ ciphertextCrc32c: undefined, verifiedPlaintextCrc32c: false });
  });
});

describe('ReEncrypt', () => {
  it('moves an old ciphertext to the active key version and a new aad', async () => {
    const scope = newScope();
    const old = await kms.encrypt({ ...scope, plaintext: text('secret'), aad: 'a' });
    const { newKeyVersionId } = await kms.rotateDataKey(scope);
    const sources = {
      ciphertextCrc32c: crc32c(old.ciphertext),
      sourceAadCrc32c: crc32c('a'),
      targetAadCrc32c: crc32c('b'),
    };
    const moved = await kms.reEncrypt({
      ...scope,
      ciphertext: old.ciphertext,
      sourceAad: 'a',
      targetAad: 'b',
      ...sources,
    });
    expect(moved).toMatchObject({
      keyVersionId: newKeyVersionId,
      ciphertextCrc32c: crc32c(moved.ciphertext),
      verifiedCiphertextCrc32c: true,
      verifiedSourceAadCrc32c: true,
      verifiedTargetAadCrc32c: true,
    });
    expect((await kms.decrypt({ ...scope, ciphertext: moved.ciphertext, aad: 'b' })).plaintext).toEqual(text('secret'));
    const same = await kms.reEncrypt({
      ...scope,
      ciphertext: moved.ciphertext,
      sourceAad: 'b',
      ciphertextEncoding: RAW,
    });
    expect(same.keyVersionId).toBe(newKeyVersionId);
    expect(same.ciphertext[0]).toBe(1);
    expect((await kms.decrypt({ ...scope, ciphertext: same.ciphertext })).plaintext).toEqual(text('secret'));
  });

  it('refuses what Decrypt refuses', async () => {
    const scope = newScope();
    const { ciphertext } = await kms.encrypt({ ...scope, plaintext: text('x'), aad: 'a' });
    expect(await failure(kms.reEncrypt({ ...scope, ciphertext, sourceAad: 'b' }))).toMatchObject({
      code: 'CIPHERTEXT_INVALID',
    });
    expect(
      await failure(kms.reEncrypt({ ...scope, ciphertext, sourceAad: 'a', sourceKeyVersionId: randomUUID() })),
    ).toMatchObject({
      code: 'KEY_VERSION_MISMATCH',
    });
    expect(await failure(kms.reEncrypt({ ...newScope(), ciphertext, sourceAad: 'a' }))).toMatchObject({
      code: 'KEY_NOT_FOUND',
    });
  });
});

describe('keys', () => {
  it('counts real uses, batches and re-encryptions included', async () => {
    const scope = newScope();
    const { ciphertext, keyVersionId } = await kms.encrypt({ ...scope, plaintext: text('x') });
    await kms.batchEncrypt({ ...scope, items: Array.from({ length: 7 }, () => ({ plaintext: text('y') })) });
    await kms.reEncrypt({ ...scope, ciphertext });
    await kms.decrypt({ ...scope, ciphertext });
    expect(await kms.getKeyInfo(scope)).toEqual({
      keyVersionId,
      version: 1,
      encryptionCount: 9n,
      maxEncryptions: 2n ** 30n,
      status: 'active',
    });
  });

  it('numbers versions one by one', async () => {
    const scope = newScope();
    await kms.createDataKey(scope);
    await Promise.all(Array.from({ length: 5 }, () => kms.rotateDataKey(scope)));
    expect(await kms.getKeyInfo(scope)).toMatchObject({ version: 6, encryptionCount: 0n });
  });

  it('answers NOT_FOUND for a scope that is not there', async () => {
    const missing = { code: 'KEY_NOT_FOUND', grpcStatus: status.NOT_FOUND };
    expect(await failure(kms.rotateDataKey(newScope()))).toMatchObject(missing);
    expect(await failure(kms.getKeyInfo(newScope()))).toMatchObject(missing);
  });
});

describe('tenants', () => {
  it("cannot tell another tenant's ciphertext, scope or key version from one that does not exist", async () => {
    const [mine, theirs] = [newScope(), { ...newScope(), scopeId: 'their-scope' }];
    const my = await kms.encrypt({ ...mine, plaintext: text('mine'), ciphertextEncoding: RAW });
    const their = await kms.encrypt({ ...theirs, plaintext: text('theirs'), ciphertextEncoding: RAW });
    const nobody = Buffer.concat([Buffer.of(1), randomBytes(16), their.ciphertext.subarray(17)]);
    const pairs = [
      // My scope, their ciphertext.
      [
        () => kms.decrypt({ ...mine, ciphertext: their.ciphertext }),
        () => kms.decrypt({ ...mine, ciphertext: nobody }),
      ],
      [
        () => kms.reEncrypt({ ...mine, ciphertext: their.ciphertext }),
        () => kms.reEncrypt({ ...mine, ciphertext: nobody }),
      ],
      // Their scope's name under my tenant.
      [
        () => kms.decrypt({ tenantId: mine.tenantId, scopeId: theirs.scopeId, ciphertext: their.ciphertext }),
        () => kms.decrypt({ tenantId: mine.tenantId, scopeId: 'nobody', ciphertext: nobody }),
      ],
      [
        () => kms.getKeyInfo({ ...mine, scopeId: theirs.scopeId }),
        () => kms.getKeyInfo({ ...mine, scopeId: 'nobody' }),
      ],
      [
        () => kms.rotateDataKey({ ...mine, scopeId: theirs.scopeId }),
        () => kms.rotateDataKey({ ...mine, scopeId: 'nobody' }),
      ],
      // A leaked key version id.
      [
        () => kms.decrypt({ ...mine, ciphertext: my.ciphertext, keyVersionId: their.keyVersionId }),
        () => kms.decrypt({ ...mine, ciphertext: my.ciphertext, keyVersionId: randomUUID() }),
      ],
    ] as const;
    for (const [foreign, missing] of pairs) {
      const [a, b] = [await failure(foreign()), await failure(missing())];
      expect({ code: a.code, message: a.message }).toEqual({ code: b.code, message: b.message });
    }
  });

  it('do not collide when their ids run together', async () => {
    const a = { tenantId: 'run:together', scopeId: 'x' };
    const b = { tenantId: 'run', scopeId: 'together:x' };
    const sealed = await kms.encrypt({ ...a, plaintext: text('a'), aad: 'c' });
    await kms.encrypt({ ...b, plaintext: text('b'), aad: 'c' });
    expect(await failure(kms.decrypt({ ...b, ciphertext: sealed.ciphertext, aad: 'c' }))).toMatchObject({
      code: 'CIPHERTEXT_INVALID',
    });
  });
});
