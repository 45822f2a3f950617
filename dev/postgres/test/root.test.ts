import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openBinaries } from '../src/binaries.ts';
import { openHome } from '../src/home.ts';
import { startPostgres } from '../src/index.ts';
import * as unprivileged from '../src/unprivileged.ts';

// PostgreSQL refuses to run as root; these are about what happens instead.
describe.runIf(process.getuid?.() === 0)('as root', () => {
  let parent: string;
  let directory: string;
  beforeEach(() => {
    // Like a clone under /root: nobody else gets in.
    parent = mkdtempSync(join(tmpdir(), 'minikms-root-'));
    chmodSync(parent, 0o700);
    directory = join(parent, 'postgres');
  });
  afterEach(() => {
    vi.restoreAllMocks();
    rmSync(parent, { recursive: true, force: true });
  });

  test('a closed folder gets its data elsewhere, under the unprivileged account, and finds them again', async () => {
    const first = await startPostgres({ directory, durable: false });
    const { folder } = JSON.parse(readFileSync(join(directory, 'location.json'), 'utf8')) as { folder: string };
    expect(folder.startsWith(directory)).toBe(false);
    const data = statSync(join(folder, 'data'));
    expect(data.uid).toBe(unprivileged.unprivilegedAccount()?.uid);
    expect(data.mode & 0o777).toBe(0o700);
    const client = new pg.Client(first.url);
    await client.connect();
    await client.query('CREATE TABLE kept ()');
    await client.end();
    await first.stop();

    const second = await startPostgres({ directory, durable: false, disposable: true });
    const again = new pg.Client(second.url);
    await again.connect();
    await again.query('TABLE kept');
    await again.end();
    await second.stop();
    expect(existsSync(folder)).toBe(false);
  });

  test('what a deleted clone left at the same path does not hinder a new one', async () => {
    const first = await startPostgres({ directory, durable: false });
    await first.stop();
    rmSync(directory, { recursive: true });
    const second = await startPostgres({ directory, durable: false, disposable: true });
    await second.stop();
  });

  test('programs in a closed node_modules are copied to where they can run', async () => {
    vi.spyOn(unprivileged, 'canRun').mockReturnValue(false);
    const home = openHome(directory);
    const bin = await openBinaries(home);
    expect(bin.startsWith(home.folder)).toBe(true);
    vi.restoreAllMocks();
    expect(home.account && unprivileged.canRun(home.account, join(bin, 'initdb'))).toBe(true);
    rmSync(home.folder, { recursive: true });
  });
});
