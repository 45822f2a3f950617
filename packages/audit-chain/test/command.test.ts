import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, USAGE } from '../src/bin/command.ts';
import { encodeLine, formatReceipt, formatVerifierKey, verifyReceipt } from '../src/index.ts';
import { checkpointOf, exportOf, golden, goldenText, keyOf, makeLog, noteSigner } from './cases.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'minikms-audit-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const EXIT: Readonly<Record<string, number>> = { good: 0, bad: 1, unproven: 3 };

function output(isTTY = false): {
  text: string;
  isTTY: boolean;
  writable: boolean;
  write: (text: string) => boolean;
  once: () => void;
  off: () => void;
} {
  const out = {
    text: '',
    isTTY,
    writable: true,
    write: (text: string) => ((out.text += text), true),
    once: () => {},
    off: () => {},
  };
  return out;
}

async function command(
  args: readonly string[],
  stdin: string | Uint8Array = '',
  isTTY = false,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const [stdout, stderr] = [output(), output(isTTY)];
  async function* input(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(stdin);
  }
  const code = await run(args, { stdin: input(), stdout, stderr });
  return { code, stdout: stdout.text, stderr: stderr.text };
}

let files = 0;
function file(content: string): string {
  const path = join(folder, `${(files += 1)}.txt`);
  writeFileSync(path, content);
  return path;
}

const signer = noteSigner(1);
const KEY = formatVerifierKey(keyOf(signer));
const log = makeLog(20);
const checkpoint = checkpointOf(log, signer);
const whole = exportOf(log, checkpoint);

describe('verify', () => {
  test.each(golden.exports)('the export "$name" is $verdict', async (c) => {
    const kept = c.checkpoints.flatMap((note) => ['--checkpoint', file(note)]);
    const { code, stdout } = await command([
      'verify',
      file(goldenText(c)),
      '--key',
      golden.signer.verifier_key,
      ...kept,
    ]);
    expect(code).toBe(EXIT[c.verdict]);
    if (c.code !== undefined) expect(stdout).toContain(`(${c.code}`);
    if (c.first === undefined) return;
    expect(stdout).toContain(c.first === c.last ? `entry ${c.first}` : `entries ${c.first} to ${String(c.last)}`);
  });

  test('a good log', async () => {
    expect(await command(['verify', '-', '--key', KEY], whole)).toEqual({
      code: 0,
      stdout:
        'GOOD\nEntries 1 to 20 of tenant acme: each is whole and follows from the one before.\n' +
        'Entries 1 to 20: exactly those that kms.example.com/audit/acme/1 signed for.\n',
      stderr: '',
    });
  });

  test('a log that grew since its checkpoint', async () => {
    const { code, stdout } = await command(
      ['verify', '-', '--key', KEY, '--checkpoint', file(checkpointOf(log, signer, 15))],
      exportOf(log),
    );
    expect(code).toBe(0);
    expect(stdout).toContain('Entries 16 to 20: newer than any checkpoint');
  });

  test('a bad log: what, where and why', async () => {
    const text = exportOf(log.with(6, { ...log[6]!, actorId: 'nobody' }), checkpoint);
    expect(await command(['verify', '-', '--key', KEY], text)).toMatchObject({
      code: 1,
      stdout:
        'BAD: entry 7 was changed: its contents do not give its hash.\n  (HASH_MISMATCH, entry 7, line 7)\n' +
        'Entries 1 to 6 of tenant acme: each is whole and follows from the one before.\n',
    });
  });

  test('nothing to compare with', async () => {
    const noKey = await command(['verify', '-'], whole);
    expect([noKey.code, noKey.stdout]).toEqual([3, expect.stringContaining('--key')]);
    const noCheckpoint = await command(['verify', '-', '--key', KEY], exportOf(log));
    expect([noCheckpoint.code, noCheckpoint.stdout]).toEqual([3, expect.stringContaining('--checkpoint')]);
  });

  test('progress is for terminals', async () => {
    const { stderr } = await command(['verify', '-', '--key', KEY], whole, true);
    expect(stderr).toContain('20 entries');
    expect(stderr.endsWith('\r\u001b[K')).toBe(true);
  });

  test('names of a log do not reach the terminal as they are', async () => {
    const evil = makeLog(1, () => ({ tenantId: 'a\u001b[2J\u202eb' }));
    const { stdout } = await command(['verify', '-'], exportOf(evil));
    expect(stdout).toContain('a\\u{1b}[2J\\u{202e}b');
  });
});

describe('prove and verify-receipt', () => {
  test('a receipt of each entry proves it', async () => {
    for (const { seq } of log) {
      const made = await command(['prove', '-', '--seq', `${seq}`, '--key', KEY], whole);
      expect(made.code).toBe(0);
      expect(verifyReceipt(made.stdout, [keyOf(signer)]).entry).toEqual(log[Number(seq) - 1]);
      const checked = await command(['verify-receipt', '-', '--key', KEY], made.stdout);
      expect([checked.code, checked.stdout]).toEqual([0, expect.stringContaining(`\n${seq} 2026-01-01T00:00:00.`)]);
    }
  });

  test('the first checkpoint that covers the entry is taken, also one that was kept', async () => {
    const kept = file(checkpointOf(log, signer, 7));
    const made = await command(['prove', '-', '--seq', '6', '--checkpoint', kept], whole);
    expect(verifyReceipt(made.stdout, [keyOf(signer)]).checkpoint.size).toBe(7);
  });

  test('nothing is proven of a bad log', async () => {
    const { code, stdout, stderr } = await command(
      ['prove', '-', '--seq', '1'],
      exportOf(log.toSpliced(4, 1), checkpoint),
    );
    expect([code, stdout, stderr]).toEqual([1, '', expect.stringContaining('SEQ_GAP')]);
  });

  test('no checkpoint, no such entry, no number', async () => {
    expect((await command(['prove', '-', '--seq', '1'], exportOf(log))).code).toBe(3);
    expect((await command(['prove', '-', '--seq', '21'], whole)).code).toBe(2);
    expect((await command(['prove', '-'], whole)).code).toBe(2);
  });

  test('a receipt that proves nothing', async () => {
    const { stdout } = await command(['prove', '-', '--seq', '5', '--key', KEY], whole);
    const bad = await command(['verify-receipt', '-', '--key', KEY], stdout.replace('index 4', 'index 5'));
    expect([bad.code, bad.stdout]).toEqual([1, expect.stringContaining('(RECEIPT_INVALID)')]);
    expect((await command(['verify-receipt', '-', '--key', KEY], 'hello')).code).toBe(1);
    expect((await command(['verify-receipt', '-'], stdout)).code).toBe(3);
    const other = formatVerifierKey(keyOf(noteSigner(2)));
    expect((await command(['verify-receipt', '-', '--key', other], stdout)).stdout).toContain('(NOTE_UNSIGNED)');
  });

  test('a receipt without its entry is checked against one that is given', async () => {
    const { stdout } = await command(['prove', '-', '--seq', '5'], whole);
    const { entry } = verifyReceipt(stdout, [keyOf(signer)]);
    const bare = stdout.replace(/^extra .*\n/m, '');
    expect(verifyReceipt(bare, [keyOf(signer)], entry).checkpoint.size).toBe(20);
    expect(() => verifyReceipt(bare, [keyOf(signer)], log[5])).toThrow('another entry');
    expect(() => verifyReceipt(stdout, [keyOf(signer)], { ...entry, actorId: 'x' })).toThrow('was changed');
    expect(() => formatReceipt({ index: 0, proof: [new Uint8Array(31)], checkpoint })).toThrow('proof');
  });
});

describe('show', () => {
  test('the entries, and the checkpoint', async () => {
    const { code, stdout } = await command(['show', '-'], whole);
    expect(code).toBe(0);
    expect(stdout.split('\n')[0]).toBe('1 2026-01-01T00:00:00.000137Z acme kms.encrypt m_1 {"bytes":1,"outcome":"OK"}');
    expect(stdout).toContain('  | kms.example.com/audit/acme/1\n  | 20\n');
  });

  test('one entry, and whether its contents give its hash', async () => {
    expect((await command(['show', '-', '--seq', '7'], whole)).stdout).toContain('the contents give this hash');
    const changed = exportOf([{ ...log[0]!, actorId: '\u001b[31m', timestampUs: 2n ** 63n - 1n }]);
    const { stdout } = await command(['show', '-', '--seq', '1'], changed);
    expect(stdout).toContain('BUT THE CONTENTS GIVE');
    expect(stdout).toContain('\\u{1b}[31m');
    expect((await command(['show', '-', '--seq', '77'], whole)).code).toBe(2);
  });

  test('stops at the first line that is no entry', async () => {
    const { code, stdout, stderr } = await command(['show', '-'], `${encodeLine(log[0]!)}\nhello\n`);
    expect([code, stdout.split('\n').length, stderr]).toEqual([
      1,
      2,
      expect.stringContaining('LINE_MALFORMED, line 2'),
    ]);
  });
});

describe('exit code 2', () => {
  test.each([
    [[]],
    [['nothing', '-']],
    [['toString', '-']],
    [['verify']],
    [['verify', 'a', 'b']],
    [['verify', '-', '--nothing']],
    [['verify', '-', '--key']],
    [['verify', '-', '--key', 'nonsense']],
    [['verify', '-', '--checkpoint', 'no-such-file']],
    [['verify', 'no-such-file']],
    [['verify', '.']],
    [['prove', '-', '--seq', '0']],
    [['prove', '-', '--seq', 'x']],
    [['verify-receipt', 'no-such-file', '--key', KEY]],
  ])('%j', async (args) => {
    const { code, stdout, stderr } = await command(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).not.toBe('');
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test('a file that is no checkpoint, and one that is no text', async () => {
    expect((await command(['verify', '-', '--checkpoint', file('hello')])).stderr).toContain('is not a checkpoint');
    expect((await command(['verify-receipt', '-', '--key', KEY], Buffer.from([0xff]))).stderr).toContain('is not text');
    expect((await command(['verify-receipt', '-', '--key', KEY], 'x'.repeat(1024 * 1024 + 1))).code).toBe(2);
  });
});

test('help', async () => {
  expect(await command(['--help'])).toEqual({ code: 0, stdout: USAGE, stderr: '' });
  expect((await command(['verify', '-h'])).stdout).toBe(USAGE);
});
