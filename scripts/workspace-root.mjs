import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Something the user can act on: its message is all they should see. */
export class Refusal extends Error {}

// Four tries in eight seconds: by default npx and pnpm take minutes, package by package, to notice that there is no network.
const patience = { fetch_retries: '4', fetch_retry_factor: '2', fetch_retry_mintimeout: '500' };

const settings = {
  npm_config_loglevel: 'error',
  // A cached pnpm will do: its version is exact.
  npm_config_prefer_offline: 'true',
  ...Object.fromEntries(
    Object.entries(patience).flatMap(([key, value]) => ['npm', 'pnpm'].map((tool) => [`${tool}_config_${key}`, value])),
  ),
  // `production` would leave out the tools.
  NODE_ENV: undefined,
};

/**
 * Runs pnpm, in the version that package.json names, with its output held back. Through npx, since corepack does not
 * come with every Node. `exec` in front of a program also lets it find pnpm in PATH, as Turbo needs.
 */
export async function pnpm(args, env = {}) {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const child = spawn('npx', ['--yes', packageManager, ...args], {
    cwd: root,
    env: { ...process.env, ...settings, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const status = await new Promise((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', () => reject(new Refusal('miniKMS needs npx, which comes with npm: it is not in PATH.')));
  });
  return { ok: status === 0, output: output.trim() };
}
