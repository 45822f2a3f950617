import { existsSync, globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { defineConfig } from 'vitest/config';

const root = import.meta.dirname;
// Slow tests run alone, by `npm run test:slow`, and only then.
const slow = process.env['MINIKMS_SLOW'] === '1';

const folders = globSync(['packages/*', 'apps/*', 'dev/*', 'test'], { cwd: root })
  .filter((folder) => existsSync(join(root, folder, 'package.json')))
  .toSorted();

const projects = folders.map((folder) => ({
  test: {
    name: basename(folder),
    root: join(root, folder),
    // The folder `test` of the root is a workspace package itself.
    include: [`${folder === 'test' ? '' : 'test/'}**/*${slow ? '.slow' : ''}.test.ts`],
    exclude: ['**/node_modules/**', ...(slow ? [] : ['**/*.slow.test.ts'])],
    // Generous: a test that starts servers shares its cores with others that do. What hangs should still end.
    testTimeout: slow ? 900_000 : 60_000,
    hookTimeout: slow ? 300_000 : 60_000,
  },
}));

export default defineConfig({
  root,
  test: {
    projects,
    globalSetup: ['dev/postgres/src/vitest-setup.ts'],
    // Tests wait for processes and databases more than they compute, and each has the one test server to share.
    maxWorkers: Math.min(8, Math.max(2, availableParallelism() - 1)),
    // There may be no slow tests in the projects that were selected.
    passWithNoTests: slow,
  },
});
