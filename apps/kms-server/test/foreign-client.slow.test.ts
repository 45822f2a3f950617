import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serve, type TestServer } from './server.ts';

const exec = promisify(execFile);
const PROTO = fileURLToPath(new URL('../../../proto', import.meta.url));
const CLIENT = fileURLToPath(new URL('./foreign/client.py', import.meta.url));

function hasPython(): boolean {
  try {
    execFileSync('python3', ['-c', 'import venv, ensurepip'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const python = hasPython();
if (!python) console.warn('python3 with venv is not here: the Python client is not tested');

describe.skipIf(!python)('a Python client', () => {
  let folder: string;
  let database: Awaited<ReturnType<typeof testDatabase>>;
  let server: TestServer;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'minikms-python-'));
    await exec('python3', ['-m', 'venv', folder]);
    await exec(join(folder, 'bin/pip'), [
      'install',
      '--quiet',
      '--disable-pip-version-check',
      'grpcio',
      'grpcio-tools',
    ]);
    database = await testDatabase();
    server = await serve({ MINIKMS_DB_URL: database.url });
  });
  afterAll(async () => {
    await server.stop();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  });

  it('generates its code from our proto files and round-trips', async () => {
    const bin = join(folder, 'bin/python');
    await exec(bin, [
      '-m',
      'grpc_tools.protoc',
      `-I${PROTO}`,
      `--python_out=${folder}`,
      `--grpc_python_out=${folder}`,
      'minikms/v1/kms.proto',
    ]);
    expect(existsSync(join(folder, 'minikms/v1/kms_pb2_grpc.py'))).toBe(true);
    const { stdout } = await exec(bin, [CLIENT, `127.0.0.1:${server.port}`], {
      env: { ...process.env, PYTHONPATH: folder },
    });
    expect(stdout.trim().split('\n')).toEqual([
      'created version 1',
      'encrypted 3',
      'decrypted secret-0 secret-1 secret-2',
      'rotated, old and new decrypt',
      'ciphertext as a string field: ok',
      'batch of 10: ok',
      'wrong aad: INVALID_ARGUMENT CIPHERTEXT_INVALID',
      'unknown scope: NOT_FOUND KEY_NOT_FOUND',
    ]);
  });
});
