import { execFile } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packages, root } from './workspace.ts';

/** The fenced blocks of a language in a page, each with the line it begins at. */
function blocks(page: string, language: string): readonly { line: number; code: string }[] {
  const fences = page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'));
  return [...fences].map((match) => ({
    line: page.slice(0, match.index).split('\n').length + 1,
    code: String(match[1]),
  }));
}

const pages = globSync(['README.md', 'packages/*/README.md', 'apps/*/README.md', 'docs/**/*.md'], {
  cwd: root,
}).toSorted();
const examples = pages.flatMap((page) =>
  blocks(readFileSync(join(root, page), 'utf8'), 'ts').map((block) => ({ page, ...block })),
);

// A folder of this package, from which all of ours are found, and that git does not see.
const parent = join(import.meta.dirname, 'node_modules', '.minikms');
let folder: string;
beforeAll(() => {
  mkdirSync(parent, { recursive: true });
  folder = mkdtempSync(join(parent, 'readme-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What tsc finds wrong with a folder that has a tsconfig.json; '' when nothing is. */
function typeCheck(project: string): Promise<string> {
  return new Promise((resolve) => {
    execFile(join(root, 'node_modules', '.bin', 'tsc'), ['--project', project], (error, stdout, stderr) => {
      resolve(error === null ? '' : `${stdout}${stderr}` || error.message);
    });
  });
}

function write(name: string, files: Readonly<Record<string, string>>): string {
  const project = join(folder, name);
  mkdirSync(project);
  const config = {
    extends: join(root, 'tsconfig.base.json'),
    compilerOptions: {
      noEmit: true,
      composite: false,
      isolatedDeclarations: false,
      declaration: false,
      noUnusedLocals: false,
      skipLibCheck: true,
    },
    files: Object.keys(files),
  };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(config));
  for (const [file, code] of Object.entries(files)) writeFileSync(join(project, file), `${code}\nexport {};\n`);
  return project;
}

test('every example of a README type-checks', async () => {
  expect(examples.length).toBeGreaterThan(3);
  const files = examples.map(({ page, line, code }) => [`${page.replaceAll(/[^\w-]/g, '_')}_line_${line}.ts`, code]);
  expect(await typeCheck(write('examples', Object.fromEntries(files) as Record<string, string>))).toBe('');
});

test('an example that is wrong would be found', async () => {
  const files = {
    'call.ts': `import { connect } from '@minikms/client'; await connect({ address: 'x' }).kms.encrypt({ tenant: 'a' });`,
    'name.ts': `import { nothing } from '@minikms/crypto-core';`,
  };
  const report = await typeCheck(write('wrong', files));
  expect(report).toMatch(/call\.ts.*error TS/);
  expect(report).toMatch(/name\.ts.*error TS2305/);
});

test.each(packages.filter((one) => !one.app))('$folder has an example', ({ path }) => {
  expect(blocks(readFileSync(join(path, 'README.md'), 'utf8'), 'ts')).not.toEqual([]);
});

test('a link to a file of the repository leads somewhere', () => {
  const dead = [...pages, 'SECURITY.md', 'CONTRIBUTING.md'].flatMap((page) => {
    const text = readFileSync(join(root, page), 'utf8').replace(/^```[\s\S]*?^```$/gm, '');
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$/gm)].map((match) =>
      String(match[1] ?? match[2]),
    );
    return targets
      .filter((target) => !/^([a-z]+:|#)/.test(target))
      .filter((target) => globSync(String(target.split('#')[0]), { cwd: join(root, page, '..') }).length === 0)
      .map((target) => `${page}: ${target}`);
  });
  expect(dead).toEqual([]);
});
