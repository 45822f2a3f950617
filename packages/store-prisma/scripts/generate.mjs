// prisma/schema.prisma -> src/gen (TypeScript). Works offline: the client of Prisma 7 has no engine to download, and the
// schema engine that the command line would fetch is not used by `generate`, so any existing executable stands in for it.
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('..', import.meta.url));
const client = `${here}/src/gen/client.ts`;

rmSync(`${here}/src/gen`, { recursive: true, force: true });
execFileSync('prisma', ['generate', '--schema', '../../prisma/schema.prisma', '--no-hints'], {
  cwd: here,
  stdio: ['ignore', 'ignore', 'inherit'],
  shell: process.platform === 'win32',
  env: {
    ...process.env,
    PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
    CHECKPOINT_DISABLE: '1',
  },
});

// The generated client sets a global `__dirname` for query engines of old. Nothing here reads it, and packages that look
// for it to tell CommonJS from ESM would be misled in every process that imports this one.
const source = readFileSync(client, 'utf8');
const cleaned = source.replace(/^globalThis\['__dirname'\] = .*\n/m, '');
if (/globalThis\W+__dirname/.test(cleaned)) throw new Error('src/gen/client.ts still sets a global __dirname');
writeFileSync(client, cleaned);
