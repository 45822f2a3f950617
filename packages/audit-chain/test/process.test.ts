import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { formatVerifierKey } from '../src/index.ts';
import { checkpointOf, exportOf, keyOf, makeLog, noteSigner } from './cases.ts';

const main = fileURLToPath(new URL('../src/bin/main.ts', import.meta.url));
const signer = noteSigner(1);
const KEY = formatVerifierKey(keyOf(signer));
const log = makeLog(50_000);
const checkpoint = checkpointOf(log, signer);

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'minikms-audit-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function command(
  args: readonly string[],
  stdin?: string | Uint8Array,
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [main, ...args],
      { maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        resolve({ code: error?.code ?? 0, stdout, stderr });
      },
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(stdin ?? '');
  });
}

test('a log of 50,000 entries, from a file and from standard input', async () => {
  const text = exportOf(log, checkpoint);
  const path = file('whole.jsonl', text);
  expect(await command(['verify', path, '--key', KEY])).toMatchObject({ code: 0, stderr: '' });
  expect(await command(['verify', '-', '--key', KEY], text)).toMatchObject({ code: 0, stderr: '' });
  const receipt = await command(['prove', path, '--seq', '31415', '--key', KEY]);
  expect(receipt.code).toBe(0);
  expect(await command(['verify-receipt', '-', '--key', KEY], receipt.stdout)).toMatchObject({ code: 0 });
});

test('entry 1 of 50,000 edited', async () => {
  const edited = exportOf([{ ...log[0]!, actorId: 'm_2' }, ...log.slice(1)], checkpoint);
  const { code, stdout } = await command(['verify', '-', '--key', KEY], edited);
  expect([code, stdout]).toEqual([1, expect.stringContaining('(HASH_MISMATCH, entry 1, line 1)')]);
});

test('entry 1 of 50,000 edited, everything hashed and signed again: the checkpoint kept from earlier finds it', async () => {
  const rewritten = makeLog(50_000, ({ seq }) => (seq === 1n ? { actorId: 'm_2' } : {}));
  const path = file('rewritten.jsonl', exportOf(rewritten, checkpointOf(rewritten, signer)));
  expect((await command(['verify', path, '--key', KEY])).code).toBe(0);
  const kept = file('kept.txt', checkpointOf(log, signer, 1000));
  const { code, stdout } = await command(['verify', path, '--key', KEY, '--checkpoint', kept]);
  expect([code, stdout]).toEqual([1, expect.stringContaining('(ROOT_MISMATCH, entries 1 to 1,000)')]);
});

test('a database rolled back to a backup, appended to and signed again: the checkpoint kept from before finds it', async () => {
  const branch = makeLog(50_000, ({ seq }) => (seq > 40_000n ? { actorId: 'other' } : {}));
  const kept = file('before.txt', checkpoint);
  const shorter = exportOf(log.slice(0, 40_000), checkpointOf(log, signer, 40_000));
  const cut = await command(['verify', '-', '--key', KEY, '--checkpoint', kept], shorter);
  expect([cut.code, cut.stdout]).toEqual([1, expect.stringContaining('(LOG_TRUNCATED, entries 40,001 to 50,000)')]);
  const { code, stdout } = await command(
    ['verify', '-', '--key', KEY, '--checkpoint', kept],
    exportOf(branch, checkpointOf(branch, signer)),
  );
  expect([code, stdout]).toEqual([1, expect.stringContaining('LOG_FORKED')]);
});

test('bytes that are no export', async () => {
  const inputs = [
    randomBytes(300_000),
    Buffer.alloc(300_000),
    Buffer.from('\n\n\n'),
    Buffer.from('{"checkpoint":"x"}'),
    Buffer.from([0xef, 0xbb, 0xbf]),
  ];
  for (const [i, input] of inputs.entries()) {
    for (const name of ['verify', 'show']) {
      const { code, stderr } = await command([name, file(`${i}.bin`, input)]);
      expect([0, 1]).toContain(code);
      expect(stderr).not.toMatch(/\n\s+at /);
    }
    expect([1, 2]).toContain((await command(['verify-receipt', '-', '--key', KEY], input)).code);
  }
});

test('usage and files that are not there', async () => {
  expect(await command([])).toMatchObject({ code: 2, stdout: '' });
  expect(await command(['verify', join(folder, 'none')])).toMatchObject({ code: 2, stdout: '' });
  expect(await command(['--help'])).toMatchObject({ code: 0, stderr: '' });
});
