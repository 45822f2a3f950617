import { createServer } from 'node:net';
import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from '../src/config.ts';
import { failure, ROOT_KEY, run, serve, temporaryFile } from './server.ts';

let database: Awaited<ReturnType<typeof testDatabase>>;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

const OTHER_KEY = 'ab'.repeat(32);
/** What the configuration check says, one problem a line; nothing when it is good. */
function problems(given: Record<string, string>, development: boolean): string {
  try {
    readConfig({ MINIKMS_GRPC_ADDR: '127.0.0.1:0', ...given }, development).rootKey.destroy();
    return '';
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.join('\n');
    throw error;
  }
}

const environment = (more: Record<string, string> = {}) => ({
  MINIKMS_DB_URL: database.url,
  MINIKMS_ROOT_KEY: ROOT_KEY,
  ...more,
});

describe('starting', () => {
  it('finds its keys again, and takes the root key from a file', async () => {
    const scope = { tenantId: 'acme', scopeId: 'app' };
    const first = await serve(environment());
    const { ciphertext } = await first.client.kms.encrypt({ ...scope, plaintext: Buffer.from('kept') });
    expect(await first.stop()).toBe(0);
    expect(first.output()).toContain('miniKMS development server on 127.0.0.1:');
    expect(first.output()).toContain('npm run example');
    const file = temporaryFile(`${ROOT_KEY}\n`);
    const second = await serve({
      MINIKMS_DB_URL: database.url,
      MINIKMS_ROOT_KEY: '',
      MINIKMS_ROOT_KEY_FILE: file.path,
    });
    expect((await second.client.kms.decrypt({ ...scope, ciphertext })).plaintext.toString()).toBe('kept');
    expect(await second.stop()).toBe(0);
    file.remove();
  });

  it('refuses another root key or salt, naming which', async () => {
    await (await serve(environment())).stop();
    const key = await run(['--dev'], environment({ MINIKMS_ROOT_KEY: OTHER_KEY }));
    expect(key).toMatchObject({ code: 1, output: expect.stringContaining('this root key is not the one') });
    expect(key.output).toContain('ROOT_KEY_MISMATCH');
    expect(key.output).not.toContain(OTHER_KEY);
    const salt = await run(['--dev'], environment({ MINIKMS_HKDF_SALT: 'other' }));
    expect(salt).toMatchObject({ code: 1, output: expect.stringContaining('this HKDF salt is not the one') });
  });

  it('refuses a database that was started in the other mode', async () => {
    await (await serve(environment())).stop();
    const production = environment({ MINIKMS_OPERATOR_TOKEN_SHA256: '00'.repeat(32) });
    expect(await run([], production)).toMatchObject({
      code: 1,
      output: expect.stringContaining('STORE_MODE_MISMATCH'),
    });
  });

  it('migrates once when two servers start together on an empty database', async () => {
    const empty = await testDatabase();
    const servers = await Promise.all([1, 2].map(() => serve({ MINIKMS_DB_URL: empty.url })));
    const migrated = servers.map((server) => server.output().split('"msg":"database migrated"').length - 1);
    expect(Math.min(...migrated)).toBe(0);
    expect(Math.max(...migrated)).toBeGreaterThan(0);
    await Promise.all(servers.map((server) => server.stop()));
    await empty.drop();
  });

  it('only migrates when told so', async () => {
    const empty = await testDatabase();
    const migrated = await run(['migrate'], {
      MINIKMS_DB_URL: empty.url,
      MINIKMS_ROOT_KEY: ROOT_KEY,
      MINIKMS_OPERATOR_TOKEN_SHA256: '00'.repeat(32),
    });
    expect(migrated).toMatchObject({ code: 0, output: expect.stringContaining('database migrated') });
    expect(migrated.output).not.toContain('serving');
    await empty.drop();
  });

  it('says what is wrong when the port is taken or the database is not there', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const address = taken.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const inUse = await run(['--dev'], environment({ MINIKMS_GRPC_ADDR: `127.0.0.1:${address.port}` }));
    expect(inUse).toMatchObject({
      code: 1,
      output: expect.stringMatching(/cannot listen on 127\.0\.0\.1:\d+.*EADDRINUSE/),
    });
    taken.close();
    const noDatabase = await run(
      ['--dev'],
      environment({ MINIKMS_DB_URL: 'postgresql://nobody:hunter2@127.0.0.1:1/x' }),
    );
    expect(noDatabase).toMatchObject({ code: 1, output: expect.stringContaining('STORE_UNAVAILABLE') });
    expect(noDatabase.output).not.toContain('hunter2');
  });

  it('has a help text and a version, and refuses what it does not know', async () => {
    expect(await run(['--help'], {})).toMatchObject({ code: 0, output: expect.stringContaining('kms-server migrate') });
    expect(await run(['--version'], {})).toMatchObject({ code: 0, output: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
    expect(await run(['serf'], {})).toMatchObject({
      code: 2,
      output: expect.stringContaining('unknown command: serf'),
    });
    expect(await run(['--port', '1'], {})).toMatchObject({ code: 2, output: expect.stringContaining('--port') });
  });
});

describe('the configuration', () => {
  it('reports every problem at once, by name, with the fix, and echoes no value', async () => {
    const report = await run([], {
      MINIKMS_ROOT_KEY: 'cafe-not-a-key',
      MINIKMS_GRPC_ADDR: 'everywhere',
      MINIKMS_REDIS_URL: 'mysql://secret-host',
      MINIKMS_TLS_ENABLED: 'maybe',
      MINIKMS_MAX_ENCRYPTIONS_PER_KEY: '5000000000',
      MINIKMS_OPERATOR_TOKEN_SHA256: 'secret-token',
      MINIKMS_DB_URL_FILE: '/nonexistent/url',
    });
    expect(report.code).toBe(2);
    const problems = [
      'MINIKMS_ROOT_KEY must be 64 hexadecimal digits',
      'MINIKMS_GRPC_ADDR must be an IP address and a port',
      'MINIKMS_REDIS_URL must be a URL such as redis://host:6379',
      'MINIKMS_TLS_ENABLED must be true or false',
      'MINIKMS_MAX_ENCRYPTIONS_PER_KEY must be a whole number from 1 to 4294967296',
      'MINIKMS_OPERATOR_TOKEN_SHA256 must be the SHA-256 of the token as 64 hexadecimal digits',
      'MINIKMS_DB_URL_FILE names a file that cannot be read (ENOENT)',
    ];
    for (const problem of problems) expect(report.output).toContain(problem);
    expect(report.output).not.toMatch(/cafe-not-a-key|secret-host|secret-token|everywhere|nonexistent/);
  });

  it('refuses to listen in public without TLS, or without a credential; only TLS can be waived', () => {
    const token = { MINIKMS_OPERATOR_TOKEN_SHA256: '00'.repeat(32) };
    const open = { MINIKMS_GRPC_ADDR: '0.0.0.0:0' };
    const check = (more: Record<string, string>, development = false) =>
      problems({ ...environment(), ...more }, development);
    expect(check({ ...open, ...token })).toContain('MINIKMS_TLS_ENABLED is not true');
    expect(check({ ...open, MINIKMS_ALLOW_INSECURE: 'true' })).toContain('MINIKMS_OPERATOR_TOKEN_SHA256 is not set');
    expect(check({})).toContain('MINIKMS_OPERATOR_TOKEN_SHA256 is not set');
    expect(check({ ...open, ...token, MINIKMS_ALLOW_INSECURE: 'true' })).toBe('');
    expect(check({ ...token, MINIKMS_GRPC_ADDR: '[::1]:0' })).toBe('');
    expect(check({ ...token, MINIKMS_GRPC_ADDR: ':50051' })).toContain('MINIKMS_TLS_ENABLED is not true');
    expect(check(open, true)).toContain('must be a loopback address with --dev');
    expect(check({ ...token, MINIKMS_TLS_CERT_FILE: 'x' })).toContain(
      'MINIKMS_TLS_CERT_FILE is set but MINIKMS_TLS_ENABLED is not true',
    );
    expect(check({ ...token, MINIKMS_TLS_ENABLED: 'true' })).toContain('MINIKMS_TLS_KEY_FILE is not set');
    expect(check({ ...token, MINIKMS_ROOT_KEY_FILE: 'x' })).toContain(
      'MINIKMS_ROOT_KEY and MINIKMS_ROOT_KEY_FILE are both set',
    );
    expect(check({ ...token, MINIKMS_REDIS_URL: 'redis://u:secret@h/name' })).toBe(
      'MINIKMS_REDIS_URL must be a URL such as redis://host:6379/0: its path is the number of a database',
    );
    expect(check({ ...token, MINIKMS_REDIS_URL: 'rediss://u:secret@h:1/3' })).toBe('');
    expect(check({ ...token, MINIKMS_DB_URL: '' })).toContain('MINIKMS_DB_URL is not set');
  });

  it('is checked without starting', async () => {
    const good = await run(['--check-config'], { ...environment(), MINIKMS_OPERATOR_TOKEN_SHA256: '00'.repeat(32) });
    expect(good).toEqual({ code: 0, output: 'the configuration is good\n' });
  });

  it('warns of variables that mean nothing', async () => {
    const server = await serve(environment({ MINIKMS_MAX_PLAINTEXT_BYTE: '1' }));
    await server.stop();
    expect(server.output()).toContain('"name":"MINIKMS_MAX_PLAINTEXT_BYTE"');
  });
});

describe('stopping', () => {
  it('finishes the calls under way and records what was used', async () => {
    const scope = { tenantId: 'drain', scopeId: 'app' };
    const server = await serve(environment());
    await server.client.kms.encrypt(scope);
    const calls = Array.from({ length: 200 }, (_, i) =>
      server.client.kms.encrypt({ ...scope, plaintext: Buffer.alloc(i) }),
    );
    const settled = Promise.allSettled(calls);
    server.process.kill('SIGTERM');
    let answered = 1;
    for (const result of await settled) {
      if (result.status === 'fulfilled') answered++;
      else expect(result.reason).toMatchObject({ code: 'UNAVAILABLE' });
    }
    expect(await server.stop()).toBe(0);
    const again = await serve(environment());
    const { encryptionCount } = await again.client.kms.getKeyInfo(scope);
    expect(encryptionCount).toBeGreaterThanOrEqual(BigInt(answered));
    expect(encryptionCount).toBeLessThanOrEqual(201n);
    await again.stop();
  });

  it('ends at once at a second signal', async () => {
    const server = await serve(environment());
    server.process.kill('SIGINT');
    server.process.kill('SIGINT');
    await server.stop();
    expect(await failure(server.client.kms.encrypt({ tenantId: 'a', scopeId: 'b' }))).toBeDefined();
  });
});
