import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Metadata, ServerCredentials, status } from '@grpc/grpc-js';
import { EncryptResponse } from '@minikms/protocol';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CiphertextEncoding, connect, type ConnectOptions, type MiniKms, MiniKmsError } from '../src/index.ts';
import { echo, type FakeServer, fakeServer, silence } from './fake-server.ts';

const open: { close?(): void; stop?(): void }[] = [];
afterEach(() => {
  for (const one of open.splice(0)) {
    one.close?.();
    one.stop?.();
  }
});

async function serve(...settings: Parameters<typeof fakeServer>): Promise<FakeServer> {
  const server = await fakeServer(...settings);
  open.push(server);
  return server;
}

function client(options: ConnectOptions): MiniKms {
  const made = connect(options);
  open.push(made);
  return made;
}

/** What a call that must fail failed with. */
async function failure(call: Promise<unknown>): Promise<MiniKmsError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof MiniKmsError)) throw new Error(`not a MiniKmsError: ${String(error)}`);
  return error;
}

async function freeAddress(): Promise<string> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return `127.0.0.1:${port}`;
}

const scope = { tenantId: 'acme', scopeId: 'payments' };

describe('a call', () => {
  test('sends the fields that were given and the defaults of the others', async () => {
    const server = await serve();
    const { kms } = client({ address: server.address });
    const response = await kms.encrypt({ ...scope, plaintext: Buffer.from('card') });
    expect(server.calls[0]?.request).toEqual({
      ...scope,
      plaintext: Buffer.from('card'),
      aad: '',
      ciphertextEncoding: CiphertextEncoding.CIPHERTEXT_ENCODING_UNSPECIFIED,
      plaintextCrc32c: undefined,
      aadCrc32c: undefined,
    });
    expect(response).toEqual(EncryptResponse.fromPartial({ ciphertext: Buffer.from('card'), keyVersionId: 'v1' }));
  });

  test('takes bytes as Uint8Array, readonly lists, and undefined for what is not given', async () => {
    const server = await serve();
    const { kms } = client({ address: server.address });
    const response = await kms.encrypt({ ...scope, plaintext: new Uint8Array([1, 2]), aad: undefined });
    expect([...response.ciphertext]).toEqual([1, 2]);
    const items: readonly { readonly plaintext: Uint8Array }[] = [{ plaintext: new Uint8Array(2) }];
    expect((await failure(kms.batchEncrypt({ ...scope, items }))).code).toBe('UNIMPLEMENTED');
    // @ts-expect-error: a field that the message does not have
    await kms.encrypt({ ...scope, tenant: 'acme' });
  });

  test('that the server does not know fails with the name of the status', async () => {
    const server = await serve();
    const error = await failure(client({ address: server.address }).kms.decrypt(scope));
    expect([error.code, error.grpcStatus]).toEqual(['UNIMPLEMENTED', status.UNIMPLEMENTED]);
  });

  test('carries messages of 5 MB, and refuses 9 MB', async () => {
    const server = await serve((_call, callback) => {
      callback(null, EncryptResponse.fromPartial({ ciphertext: Buffer.alloc(5_000_000, 1) }));
    });
    const { kms } = client({ address: server.address });
    expect((await kms.encrypt(scope)).ciphertext).toHaveLength(5_000_000);
    const error = await failure(kms.encrypt({ ...scope, plaintext: Buffer.alloc(9_000_000) }));
    expect(error.code).toBe('RESOURCE_EXHAUSTED');
    expect(server.calls).toHaveLength(1);
  });

  test('with a string that is not text is refused before it is sent', async () => {
    const server = await serve();
    const { kms } = client({ address: server.address });
    await expect(kms.encrypt({ ...scope, aad: 'a\ud800' })).rejects.toThrow(
      new TypeError('aad holds a lone surrogate'),
    );
    await expect(kms.batchEncrypt({ ...scope, items: [{ reference: '\udc00' }] })).rejects.toThrow(TypeError);
    await expect(kms.encrypt({ ...scope, aad: '😀' })).resolves.toBeDefined();
    expect(server.calls).toHaveLength(1);
  });
});

describe('a deadline', () => {
  test('of the connection ends a call', async () => {
    const server = await serve(silence);
    const error = await failure(client({ address: server.address, deadlineMs: 100 }).kms.encrypt(scope));
    expect([error.code, error.grpcStatus]).toEqual(['DEADLINE_EXCEEDED', status.DEADLINE_EXCEEDED]);
    expect(error.requestId).toBeUndefined();
  });

  test('of the call goes before that of the connection', async () => {
    const server = await serve(silence);
    const { kms } = client({ address: server.address });
    const begun = performance.now();
    expect((await failure(kms.encrypt(scope, { deadlineMs: 100 }))).code).toBe('DEADLINE_EXCEEDED');
    expect(performance.now() - begun).toBeLessThan(5000);
  });

  test('is ten seconds where none is given, and reaches the server', async () => {
    const server = await serve();
    await client({ address: server.address }).kms.encrypt(scope);
    const deadline = server.calls[0]?.getDeadline();
    expect(Number(deadline) - Date.now()).toSatisfy((ms: number) => ms > 5000 && ms <= 10_000);
  });
});

describe('an AbortSignal', () => {
  test('cancels the call, here and at the server', async () => {
    const arrived = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    const server = await serve((call) => {
      call.on('cancelled', () => cancelled.resolve());
      arrived.resolve();
    });
    const abort = new AbortController();
    const call = failure(client({ address: server.address }).kms.encrypt(scope, { signal: abort.signal }));
    await arrived.promise;
    abort.abort();
    const error = await call;
    expect([error.code, error.grpcStatus]).toEqual(['CANCELLED', status.CANCELLED]);
    await cancelled.promise;
  });

  test('that was given already means no call', async () => {
    const server = await serve();
    const call = client({ address: server.address }).kms.encrypt(scope, { signal: AbortSignal.abort() });
    expect((await failure(call)).code).toBe('CANCELLED');
    expect(server.calls).toEqual([]);
  });

  test('is let go of when the call is done', async () => {
    const server = await serve();
    const abort = new AbortController();
    const [add, remove] = [vi.spyOn(abort.signal, 'addEventListener'), vi.spyOn(abort.signal, 'removeEventListener')];
    await client({ address: server.address }).kms.encrypt(scope, { signal: abort.signal });
    expect(remove.mock.calls).toEqual([['abort', add.mock.calls[0]?.[1]]]);
  });
});

describe('an error', () => {
  test('has the code and the request id of the trailers, and the message', async () => {
    const server = await serve((_call, callback) => {
      const metadata = new Metadata();
      metadata.set('minikms-code', 'CIPHERTEXT_INVALID');
      metadata.set('minikms-request-id', 'request-17');
      callback({ code: status.INVALID_ARGUMENT, details: 'the ciphertext does not open', metadata });
    });
    const error = await failure(client({ address: server.address }).kms.encrypt(scope));
    expect(error).toMatchObject({
      name: 'MiniKmsError',
      message: 'the ciphertext does not open',
      code: 'CIPHERTEXT_INVALID',
      grpcStatus: status.INVALID_ARGUMENT,
      requestId: 'request-17',
    });
    expect(error.cause).toBeInstanceOf(Error);
  });

  test('of something that is no miniKMS server has the name of the status', async () => {
    const server = await serve((_call, callback) => callback({ code: status.PERMISSION_DENIED, details: 'no' }));
    const error = await failure(client({ address: server.address }).kms.encrypt(scope));
    expect([error.code, error.requestId]).toEqual(['PERMISSION_DENIED', undefined]);
  });
});

describe('a server that is not there', () => {
  test('is UNAVAILABLE for calls and for ready()', async () => {
    const minikms = client({ address: await freeAddress(), deadlineMs: 5000 });
    expect((await failure(minikms.kms.encrypt(scope))).code).toBe('UNAVAILABLE');
    expect((await failure(minikms.ready(100))).message).toMatch(/^no miniKMS server answers at 127\.0\.0\.1:/);
  });

  test('and one that is', async () => {
    const server = await serve();
    await expect(client({ address: server.address }).ready()).resolves.toBeUndefined();
  });
});

describe('close()', () => {
  test('lets a call under way finish, and refuses later ones', async () => {
    const server = await serve((call, callback) => void setTimeout(() => echo(call, callback), 200));
    const minikms = client({ address: server.address });
    await minikms.ready();
    const call = minikms.kms.encrypt({ ...scope, plaintext: Buffer.from('last') });
    await vi.waitFor(() => expect(server.calls).toHaveLength(1));
    minikms.close();
    expect((await failure(minikms.kms.encrypt(scope))).code).toBe('CANCELLED');
    expect((await failure(minikms.ready(100))).code).toBe('CANCELLED');
    expect((await call).ciphertext.toString()).toBe('last');
  });
});

describe('TLS', () => {
  // Self-signed: `loopback` for 127.0.0.1 and localhost, `elsewhere` for 192.0.2.1 and kms.example.com.
  const pem = (name: string): Buffer => readFileSync(new URL(`fixtures/${name}`, import.meta.url));
  const serveAs = (name: string): Promise<FakeServer> => {
    const pair = { cert_chain: pem(`${name}.pem`), private_key: pem(`${name}.key`) };
    return serve(echo, '127.0.0.1', ServerCredentials.createSsl(null, [pair]));
  };

  test.each(['127.0.0.1', 'localhost'])('to %s carries the token', async (host) => {
    const server = await serveAs('loopback');
    const address = server.address.replace('127.0.0.1', host);
    await client({ address, token: 'open-sesame', tls: { ca: pem('loopback.pem') } }).kms.encrypt(scope);
    expect(server.calls[0]?.metadata.get('authorization')).toEqual(['Bearer open-sesame']);
  });

  test.each(['127.0.0.1', 'localhost'])('to %s fails with the certificate of another place', async (host) => {
    const server = await serveAs('elsewhere');
    const address = server.address.replace('127.0.0.1', host);
    const { kms } = client({ address, tls: { ca: pem('elsewhere.pem') }, deadlineMs: 5000 });
    const error = await failure(kms.encrypt(scope));
    expect([error.code, error.message]).toEqual(['UNAVAILABLE', expect.stringMatching(/ERR_TLS_CERT_ALTNAME_INVALID/)]);
    expect(server.calls).toEqual([]);
  });

  test.each([
    ['the machine’s authorities', true],
    ['another authority', { ca: pem('elsewhere.pem') }],
  ] as const)('fails with a certificate that %s did not sign', async (_name, tls) => {
    const server = await serveAs('loopback');
    const error = await failure(client({ address: server.address, tls, deadlineMs: 5000 }).kms.encrypt(scope));
    expect([error.code, error.message]).toEqual(['UNAVAILABLE', expect.stringMatching(/self-signed certificate/)]);
    expect(server.calls).toEqual([]);
  });
});

describe('a token', () => {
  const token = 'open-sesame';

  test('is sent as bearer with every call', async () => {
    const server = await serve();
    const { kms } = client({ address: server.address, token });
    await kms.encrypt(scope);
    await kms.encrypt(scope);
    const sent = server.calls.map((call) => call.metadata.get('authorization'));
    expect(sent).toEqual([['Bearer open-sesame'], ['Bearer open-sesame']]);
  });

  test('that was not given is not sent', async () => {
    const server = await serve();
    await client({ address: server.address }).kms.encrypt(scope);
    expect(server.calls[0]?.metadata.get('authorization')).toEqual([]);
  });

  test.each([
    'kms.example.com:50051',
    '10.0.0.7:50051',
    '0.0.0.0:50051',
    '[::]:50051',
    'localhost.example.com:50051',
    '127.0.0.1.example.com:50051',
    'dns://192.0.2.1/localhost:50051',
    '127.0.0.1:50051,192.0.2.1:50051',
    'ipv4:192.0.2.1:50051',
    '127.999.1.1:50051',
    'dns:////localhost:50051',
  ])('is refused in clear to %s', (address) => {
    expect(() => connect({ address, token })).toThrow(TypeError);
    expect(() => connect({ address, token })).not.toThrow(token);
  });

  test.each(['127.0.0.1:50051', '127.8.8.8:50051', 'localhost:50051', '[::1]:50051', 'dns:///localhost:50051'])(
    'is allowed in clear to %s',
    (address) => {
      expect(() => client({ address, token })).not.toThrow();
    },
  );

  test.each(['secret\n', 'se cret', '', 'sécret', 's'.repeat(4097)])(
    'that cannot be one is refused, and not repeated',
    (bad) => {
      const refused = () => client({ address: '127.0.0.1:50051', token: bad });
      expect(refused).toThrow(TypeError);
      expect(refused).not.toThrow(/se.?cret|ss/);
    },
  );

  test('is allowed over TLS to anywhere, and anything in clear without a token', () => {
    expect(() => client({ address: 'kms.example.com:50051', token, tls: true })).not.toThrow();
    expect(() => client({ address: 'kms.example.com:50051' })).not.toThrow();
  });

  test('to loopback takes no proxy of the environment', async () => {
    const proxy = createServer((socket) => void socket.destroy());
    let connections = 0;
    proxy.on('connection', () => connections++);
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    vi.stubEnv('grpc_proxy', `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
    try {
      const server = await serve();
      await client({ address: server.address, token, deadlineMs: 2000 }).kms.encrypt(scope);
      expect([server.calls.length, connections]).toEqual([1, 0]);
    } finally {
      vi.unstubAllEnvs();
      proxy.close();
    }
  });
});
