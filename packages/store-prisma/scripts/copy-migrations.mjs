// prisma/migrations -> dist/migrations, so that the package carries what `migrate` applies.
import { cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const from = fileURLToPath(new URL('../../../prisma/migrations', import.meta.url));
const to = fileURLToPath(new URL('../dist/migrations', import.meta.url));

rmSync(to, { recursive: true, force: true });
cpSync(from, to, { recursive: true });
