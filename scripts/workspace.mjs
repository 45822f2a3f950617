// What the npm scripts of the root run: installs, builds, and then does the task with the pinned Node. It needs any
// Node from 20 on, with its npm; everything else comes with the installation.
import { delimiter, join } from 'node:path';
import { install } from './install.mjs';
import { build } from './build.mjs';
import { foreground } from './foreground.mjs';
import { Refusal, root } from './workspace-root.mjs';

const tasks = {
  start: { command: ['node', 'dev/start.ts'], attached: true },
  test: { command: ['vitest', 'run'] },
  'test:slow': { command: ['vitest', 'run'], env: { MINIKMS_SLOW: '1' } },
  example: { command: ['node', 'examples/encrypt-decrypt.ts'] },
  'example:audit': { command: ['node', 'examples/audit.ts'] },
  bench: { command: ['node', 'bench/run.ts'] },
  build: { command: undefined },
  install: { command: undefined, built: false },
};

async function main([name, ...args]) {
  const task = Object.hasOwn(tasks, name ?? '') ? tasks[name] : undefined;
  if (!task) throw new Refusal(`usage: node scripts/workspace.mjs ${Object.keys(tasks).join(' | ')}`);
  await install();
  if (task.built !== false) await build();
  if (!task.command) return 0;
  const [program, ...first] = task.command;
  const bin = join(root, 'node_modules', '.bin');
  const env = { ...process.env, ...task.env, PATH: [bin, process.env.PATH].join(delimiter) };
  return foreground(join(bin, program), [...first, ...args], { cwd: root, env, attached: task.attached === true });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof Refusal)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
