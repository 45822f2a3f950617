// proto/ -> src/gen (TypeScript) and dist-independent copies that the package ships: the proto files and their
// descriptor set, which servers need for reflection.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('..', import.meta.url));
const root = fileURLToPath(new URL('../../..', import.meta.url));
const buf = (...args) =>
  execFileSync('buf', args, { cwd: here, stdio: 'inherit', shell: process.platform === 'win32' });

rmSync(`${here}/src/gen`, { recursive: true, force: true });
rmSync(`${here}/gen`, { recursive: true, force: true });
mkdirSync(`${here}/gen`);
buf('generate', root, '--template', `${root}/buf.gen.yaml`);
buf('build', root, '--as-file-descriptor-set', '--output', `${here}/gen/minikms.binpb`);
cpSync(`${root}/proto`, `${here}/gen/proto`, { recursive: true });
