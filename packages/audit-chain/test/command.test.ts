import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, USAGE } from '../src/bin/command.ts';
import { cosign } from '../src/cosignature.ts';
import {
  encodeCheckpointLine,
  encodeLine,
  formatReceipt,
  formatVerifierKey,
  formatWitnessKey,
  parseNote,
  v1EntryHash,
  verifyReceipt,
  witnessKey,
} from '../src/index.ts';
import { formatSignature } from '../src/note.ts';
import {
  checkpointOf,
  exportOf,
  golden,
  goldenText,
  keyOf,
  makeLog,
  noteSigner,
  vectorJson,
  vectorsAbsent,
} from './cases.ts';

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

describe('witnesses', () => {
  const [one, two] = [noteSigner(5, 'witness.example.com/1'), noteSigner(6, 'witness.example.com/2')];
  const keyText = (by: typeof one): string => formatWitnessKey(witnessKey(by.name, by.signer.publicKey));
  const cosigned = (note: string, ...by: readonly (typeof one)[]): string =>
    note + by.map((signer) => formatSignature(cosign(parseNote(note).text, signer, 1_767_225_600))).join('');
  const both = ['--witness', keyText(one), '--witness', keyText(two)];

  test('that cosigned are named, with the time', async () => {
    const text = exportOf(log, cosigned(checkpoint, one, two));
    const { code, stdout } = await command(['verify', '-', '--key', KEY, ...both], text);
    expect(code).toBe(0);
    expect(stdout).toContain('Checkpoint of 20 entries: cosigned by 2 of 2 witnesses, 2 needed.');
    expect(stdout).toContain('  witness.example.com/1 at 2026-01-01T00:00:00Z\n');
  });

  test('that are too few make it bad', async () => {
    const text = exportOf(log, cosigned(checkpoint, one));
    const few = await command(['verify', '-', '--key', KEY, ...both], text);
    expect([few.code, few.stdout.split('\n', 1)]).toEqual([1, ['BAD: too few witnesses cosigned.']]);
    expect((await command(['verify', '-', '--key', KEY, ...both, '--quorum', '1'], text)).code).toBe(0);
    expect((await command(['verify', '-', '--key', KEY, ...both], whole)).code).toBe(1);
    // Without the key of the log nothing is proven, whoever cosigned.
    expect((await command(['verify', '-', ...both, '--quorum', '1'], text)).code).toBe(3);
  });

  test('that cosigned something else did not cosign this', async () => {
    const line = cosigned(checkpointOf(log, signer, 15), one)
      .split('\n')
      .at(-2)!;
    const text = exportOf(log, `${checkpoint}${line}\n`);
    expect((await command(['verify', '-', '--key', KEY, '--witness', keyText(one)], text)).code).toBe(1);
  });

  test('of the largest checkpoint that enough have cosigned', async () => {
    const at = (size: number, ...by: readonly (typeof one)[]): string =>
      cosigned(checkpointOf(log, signer, size), ...by);
    const notes = new Map([5, 10].map((size) => [size, at(size, one, two)])).set(12, at(12, one));
    const text = log.flatMap((entry) => {
      const note = notes.get(Number(entry.seq));
      return note === undefined ? [encodeLine(entry)] : [encodeLine(entry), encodeCheckpointLine(note)];
    });
    const { code, stdout } = await command(['verify', '-', '--key', KEY, ...both], text.join('\n'));
    expect([code, stdout]).toEqual([0, expect.stringContaining('Checkpoint of 10 entries: cosigned by 2 of 2')]);
    const larger = await command(['verify', '-', '--key', KEY, ...both, '--quorum', '1'], text.join('\n'));
    expect([larger.code, larger.stdout]).toEqual([
      0,
      expect.stringContaining('Checkpoint of 12 entries: cosigned by 1 of 2'),
    ]);
  });

  test('of a receipt', async () => {
    const { stdout } = await command(['prove', '-', '--seq', '5'], exportOf(log, cosigned(checkpoint, one)));
    const good = await command(['verify-receipt', '-', '--key', KEY, '--witness', keyText(one)], stdout);
    expect([good.code, good.stdout]).toEqual([0, expect.stringContaining('cosigned by 1 of 1 witnesses')]);
    const few = await command(['verify-receipt', '-', '--key', KEY, ...both], stdout);
    expect([few.code, few.stdout]).toEqual([1, expect.stringMatching(/^BAD: too few/)]);
  });

  test('whose keys or number are none', async () => {
    const refused = [
      ['--witness', KEY],
      ['--witness', 'x'],
      ['--quorum', '1'],
      [...both, '--quorum', '3'],
      [...both, '--quorum', '0'],
    ];
    for (const options of refused) {
      expect((await command(['verify', '-', '--key', KEY, ...options], whole)).code).toBe(2);
    }
  });
});

describe('v1', () => {
  const GENESIS = '0'.repeat(64);
  type GoRow = Readonly<Record<string, string>>;
  function goLog(orgId: string, size: number): GoRow[] {
    const rows: GoRow[] = [];
    for (let i = 0; i < size; i += 1) {
      const hashed = {
        previousHash: rows.at(-1)?.['entry_hash'] ?? GENESIS,
        timestampUs: 1_704_067_200_000_000n + BigInt(i) * 100_000n,
        action: 'encrypt',
        actorId: 'user1',
        details: `${i}`,
      };
      rows.push({
        org_id: orgId,
        previous_hash: hashed.previousHash,
        timestamp: `2024-01-01T00:00:0${Math.floor(i / 10)}.${i % 10}Z`,
        action: hashed.action,
        actor_id: hashed.actorId,
        details: hashed.details,
        request_jwt_hash: '',
        entry_hash: v1EntryHash(hashed),
      });
    }
    return rows;
  }
  const rows = [...goLog('org1', 12), ...goLog('org2', 3)];
  const lines = (all: readonly GoRow[]): string => all.map((row) => JSON.stringify(row)).join('\n');

  test('a log that is whole is not proven, and the reader is told why', async () => {
    for (const text of [lines(rows.toReversed()), JSON.stringify(rows), `${lines(rows)}\n`]) {
      const { code, stdout } = await command(['v1', '-'], text);
      expect(code).toBe(3);
      expect(stdout).toMatch(/^NOT PROVEN: nothing is wrong/);
      expect(stdout).toContain('Log of org1: 12 rows that follow from one another');
      expect(stdout).toContain('Log of org2: 3 rows');
      expect(stdout).toContain('nothing in it is signed');
    }
    const empty = await command(['v1', '-'], '');
    expect([empty.code, empty.stdout]).toEqual([3, expect.stringContaining('There are no rows.')]);
  });

  test('timestamps as PostgreSQL and other zones write them', async () => {
    const [row] = goLog('org1', 1);
    for (const timestamp of [
      '2024-01-01 00:00:00+00',
      '2024-01-01T02:30:00.000000+02:30',
      '2023-12-31 19:00:00.000000000-0500',
    ]) {
      expect([timestamp, (await command(['v1', '-'], lines([{ ...row!, timestamp }]))).code]).toEqual([timestamp, 3]);
    }
  });

  test('a changed row, a missing one and a fork are bad, and named', async () => {
    const named = async (all: readonly GoRow[], what: string): Promise<void> => {
      const { code, stdout } = await command(['v1', '-'], lines(all));
      expect([code, stdout]).toEqual([1, expect.stringContaining(what)]);
      expect(stdout).toMatch(/^BAD\n/);
    };
    const third = rows[2]!['entry_hash']!;
    await named(
      rows.with(2, { ...rows[2]!, action: 'decrypt\u001b[31m' }),
      `Changed after it was hashed: ${third} decrypt\\u{1b}`,
    );
    await named(rows.toSpliced(2, 1), `Does not lead back to the beginning: ${rows[3]!['entry_hash']}`);
    await named(
      [...rows, rows[2]!],
      `Follows the same row as another (the Go service made such forks itself): ${third}`,
    );
    await named(rows.slice(1), 'Does not lead back to the beginning: 1 more');
    // What belongs to two orgs is two logs.
    await named(rows.with(2, { ...rows[2]!, org_id: 'org2' }), 'Log of org1');
  });

  test.each([
    ['no JSON', 'hello'],
    ['no rows', '[1]'],
    ['null', 'null'],
    ['an array that does not end', '[{'],
    ['no text', new Uint8Array([0xff])],
    ['a field that is missing', lines([{ ...rows[0]!, org_id: undefined as never }])],
    ['a field that is no text', lines([{ ...rows[0]!, details: {} as never }])],
    ['a time that is none', lines([{ ...rows[0]!, timestamp: 'yesterday' }])],
    ['a day that is none', lines([{ ...rows[0]!, timestamp: '2024-13-01T00:00:00Z' }])],
    ['nanoseconds', lines([{ ...rows[0]!, timestamp: '2024-01-01T00:00:00.000000001Z' }])],
  ])('what is no table of the Go service is refused: %s', async (_, text) => {
    const { code, stdout, stderr } = await command(['v1', '-'], text);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test.skipIf(vectorsAbsent)('the rows of audit-chain-kat.json', async () => {
    const { kat } = vectorJson<{ kat: unknown[] }>('audit-chain/audit-chain-kat.json');
    for (const row of kat) expect((await command(['v1', '-'], JSON.stringify([row]))).code).toBe(3);
  });
});

test('help', async () => {
  expect(await command(['--help'])).toEqual({ code: 0, stdout: USAGE, stderr: '' });
  expect((await command(['verify', '-h'])).stdout).toBe(USAGE);
});
