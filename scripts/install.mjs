import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pnpm, Refusal, root } from './workspace-root.mjs';

const stampFile = join(root, 'node_modules', '.minikms-install');

/** Installs the dependencies unless exactly these are installed. */
export async function install() {
  requirePlatform();
  const stamp = stampOf();
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return;
  process.stderr.write('Installing…\n');
  // No stamp while it runs: an interrupted installation is not a finished one.
  rmSync(stampFile, { force: true });
  // CI: pnpm is not to ask anything.
  const { ok, output } = await pnpm(['install', '--frozen-lockfile', '--prefer-offline', '--reporter=append-only'], {
    CI: 'true',
  });
  if (!ok) throw new Refusal(explain(output));
  writeFileSync(stampFile, stamp);
}

function requirePlatform() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20) throw new Refusal(`miniKMS needs Node 20 or newer; this is ${process.versions.node}.`);
  const { platform, arch } = process;
  if (platform === 'win32') throw new Refusal('miniKMS is developed on Linux and macOS; on Windows, use WSL.');
  // What the pinned Node and the embedded PostgreSQL are built for.
  const musl = platform === 'linux' && process.report.getReport().header.glibcVersionRuntime === undefined;
  if (!['linux', 'darwin'].includes(platform) || !['x64', 'arm64'].includes(arch) || musl) {
    const here = `${platform}-${arch}${musl ? ' (musl)' : ''}`;
    throw new Refusal(`miniKMS is developed on Linux (glibc) and macOS, x64 or arm64; this is ${here}.`);
  }
}

/** Everything that decides what an installation holds. */
function stampOf() {
  const hash = createHash('sha256').update(`${process.platform}-${process.arch}\n`);
  const folders = ['packages', 'apps', 'dev'].flatMap((parent) =>
    existsSync(join(root, parent)) ? readdirSync(join(root, parent)).map((name) => join(parent, name)) : [],
  );
  const manifests = ['', 'bench', 'examples', 'test', ...folders.sort()].map((folder) => join(folder, 'package.json'));
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', ...manifests]) {
    const path = join(root, file);
    if (existsSync(path)) hash.update(`${file}\0`).update(readFileSync(path)).update('\0');
  }
  return `${hash.digest('hex')}\n`;
}

function explain(output) {
  const offline = /ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ECONNREFUSED|ETIMEDOUT|error sending request/;
  const cause = offline.exec(output)?.[0];
  if (cause !== undefined) {
    return `The package registry cannot be reached (${cause}): miniKMS needs the network once, to install.`;
  }
  return `${output.split('\n').slice(-60).join('\n')}\nThe installation failed.`;
}
