import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

export const root: string = join(import.meta.dirname, '..');

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** A package that is published. */
export interface Package {
  /** The last part of its path: `crypto-core`. */
  readonly folder: string;
  readonly path: string;
  readonly app: boolean;
  readonly manifest: Manifest;
}

export function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}

export const packages: readonly Package[] = globSync(['packages/*', 'apps/*'], { cwd: root })
  .filter((path) => existsSync(join(root, path, 'package.json')))
  .toSorted()
  .map((path) => ({
    folder: basename(path),
    path: join(root, path),
    app: path.startsWith('apps'),
    manifest: readManifest(join(root, path)),
  }));

/** The files of the repository, tracked or about to be, by their paths from its root. */
export function repositoryFiles(): readonly string[] {
  const list = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  // What is deleted and not committed is still listed.
  return list.split('\0').filter((path) => path !== '' && existsSync(join(root, path)));
}

/** This machine's environment for a package manager: its network and caches, without the settings of the test run. */
export function toolEnvironment(bin: string): Record<string, string> {
  const inherited = Object.entries(process.env).filter(
    ([name, value]) =>
      value !== undefined && !/^(VITEST|NODE_ENV$|NODE_OPTIONS$|npm_(?!config_)|MINIKMS_|INIT_CWD$)/.test(name),
  ) as [string, string][];
  const quiet = { npm_config_loglevel: 'error', npm_config_update_notifier: 'false', CI: 'true' };
  return { ...Object.fromEntries(inherited), ...quiet, PATH: `${bin}:${String(process.env['PATH'])}` };
}
