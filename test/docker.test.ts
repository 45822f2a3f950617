import { execFileSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from './workspace.ts';

const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const dockerfile = read('docker/Dockerfile');
const compose = read('docker/compose.yaml');
const manifests = read('docker/kubernetes/minikms.yaml');

test('every setting in docker/ is one that the server knows', () => {
  const config = ['config.ts', 'config-audit.ts'].map((file) => read(`apps/kms-server/src/${file}`));
  const known = new Set(config.join('\n').match(/\bMINIKMS_[A-Z0-9_]+/g));
  const used = globSync(['Dockerfile', '*.{yaml,mjs}', 'kubernetes/*.yaml'], { cwd: join(root, 'docker') }).flatMap(
    (path) => read(join('docker', path)).match(/\bMINIKMS_[A-Z0-9_]+/g) ?? [],
  );
  expect(used.length).toBeGreaterThan(10);
  expect(used.filter((name) => !known.has(name) && !known.has(name.replace(/_FILE$/, '')))).toEqual([]);
});

describe('the Dockerfile', () => {
  test('uses the pnpm and the Node that the workspace uses', () => {
    const { packageManager, devDependencies } = JSON.parse(read('package.json')) as {
      packageManager: string;
      devDependencies: { node: string };
    };
    expect(new Set(dockerfile.match(/\bpnpm@\S+/g))).toEqual(new Set([packageManager]));
    const major = String(devDependencies.node.split('.')[0]);
    expect(dockerfile.match(/^FROM .*$/gm)).toEqual([`FROM node:${major} AS build`, `FROM node:${major}-slim`]);
  });

  test('ends with a stage that runs as nobody in particular, without a shell', () => {
    const stage = dockerfile.slice(dockerfile.lastIndexOf('FROM '));
    expect(stage).toMatch(/^USER [1-9]\d*:[1-9]\d*$/m);
    expect(stage).toMatch(/^ENTRYPOINT \["node", .*"\/app\/dist\/main\.js"\]$/m);
    expect(stage).toMatch(/^ {2}CMD \["node", "\/app\/healthcheck\.mjs"\]$/m);
    expect(stage).not.toMatch(/^(RUN|ADD|SHELL|VOLUME)\b/m);
  });
});

test('containers in compose.yaml give up what they do not need', () => {
  const services = compose
    .slice(compose.indexOf('\nservices:'), compose.indexOf('\nsecrets:'))
    .split(/\n(?= {2}\w)/)
    .slice(1);
  expect(services.map((service) => service.trim().split(':')[0])).toEqual(['server', 'migrate', 'postgres', 'redis']);
  for (const service of services) {
    expect(service).toContain('read_only: true');
    expect(service).toContain('cap_drop: [ALL]');
    expect(service).toContain('no-new-privileges:true');
  }
  expect(compose).not.toMatch(/(PASSWORD|TOKEN_SHA256|ROOT_KEY|DB_URL): /);
});

test('only what migrates gets the role that owns the tables', () => {
  const server = compose.slice(compose.indexOf('\n  server:'), compose.indexOf('\n  migrate:'));
  const migrate = compose.slice(compose.indexOf('\n  migrate:'), compose.indexOf('\n  postgres:'));
  expect([server, migrate].map((service) => service.includes('db-owner-url'))).toEqual([false, true]);
  const [, containers = ''] = manifests.split(/^ {6}containers:$/m);
  expect(manifests).toContain('MINIKMS_MIGRATE_DB_URL_FILE');
  expect(containers.slice(0, containers.indexOf('\n      volumes:'))).not.toMatch(/owner/);
});

test('the Kubernetes pod is restricted, and the user is the image’s', () => {
  const user = /^USER (\d+):/m.exec(dockerfile)?.[1];
  expect(manifests).toContain(`runAsUser: ${user}`);
  for (const setting of ['runAsNonRoot: true', 'readOnlyRootFilesystem: true', 'allowPrivilegeEscalation: false']) {
    expect(manifests).toContain(setting);
  }
  expect(manifests).toMatch(/kind: PodDisruptionBudget[\s\S]*minAvailable: 1/);
});

// The commands are those of Linux.
describe.runIf(process.platform === 'linux')('the commands in compose.yaml that make the secrets', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'minikms-compose-'));
    const commands = compose.match(/(?<=^# {3}).*$/gm) ?? [];
    expect(commands).toHaveLength(6);
    execFileSync('/bin/sh', ['-ec', commands.join('\n')], { cwd: folder });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('make every secret that the services take', () => {
    const names = [...compose.matchAll(/^ {4}file: secrets\/(.+)$/gm)].map((match) => String(match[1]));
    const made = globSync('*', { cwd: join(folder, 'docker', 'secrets') });
    expect(made.toSorted()).toEqual([...names, 'operator-token'].toSorted());
  });

  test.each(['server', 'migrate'])('satisfy the %s', (name) => {
    const service = compose.slice(compose.indexOf(`\n  ${name}:`));
    const environment = service.slice(service.indexOf('environment:'), service.indexOf('    secrets:'));
    const settings = [...environment.matchAll(/^ +(MINIKMS_\w+): '?(.*?)'?$/gm)].map((match) => [
      match[1],
      String(match[2]).replace('/run/secrets', join(folder, 'docker', 'secrets')),
    ]);
    const env = Object.fromEntries(settings) as Record<string, string>;
    expect(Object.keys(env).length).toBeGreaterThan(4);
    const server = join(root, 'apps', 'kms-server', 'dist', 'main.js');
    expect(execFileSync(process.execPath, [server, '--check-config'], { env, encoding: 'utf8' })).toMatch(/is good/);
  });

  test.each([
    ['db', 'minikms'],
    ['db-owner', 'minikms_owner'],
  ])('give the database the password that is in %s-url', (secret, role) => {
    const password = readFileSync(join(folder, 'docker', 'secrets', `${secret}-password`), 'utf8').trim();
    const url = new URL(readFileSync(join(folder, 'docker', 'secrets', `${secret}-url`), 'utf8').trim());
    expect([url.password, url.username, url.host]).toEqual([password, role, 'postgres:5432']);
    expect(read('docker/postgres-roles.sql')).toContain(`CREATE ROLE ${role} LOGIN PASSWORD`);
  });
});
