import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { v1EntryHash, type V1Row, verifyV1 } from '../src/index.ts';
import { codeOf, vectorJson, vectorsAbsent } from './cases.ts';

interface GoRow {
  org_id: string;
  previous_hash: string;
  unix_micro: number;
  action: string;
  actor_id: string;
  details: string;
  entry_hash: string;
}
interface Vectors {
  kat: GoRow[];
  concatenation_collisions: { a: GoRow; b: GoRow }[];
}

const rowOf = (row: GoRow): V1Row => ({
  previousHash: row.previous_hash,
  entryHash: row.entry_hash,
  timestampUs: BigInt(row.unix_micro),
  action: row.action,
  actorId: row.actor_id,
  details: row.details,
});

describe.skipIf(vectorsAbsent)('audit-chain/audit-chain-kat.json', () => {
  const vectors = vectorJson<Vectors>('audit-chain/audit-chain-kat.json');

  test('8 hashes of the Go service', () => {
    expect(vectors.kat).toHaveLength(8);
    for (const row of vectors.kat) {
      expect(v1EntryHash(rowOf(row))).toBe(row.entry_hash);
      expect(verifyV1([rowOf(row)])).toMatchObject({ whole: true, changed: [], forks: [], unreached: [] });
    }
  });

  test('its collisions are its own: v1 cannot tell the rows of a pair apart', () => {
    expect(vectors.concatenation_collisions).toHaveLength(3);
    for (const { a, b } of vectors.concatenation_collisions) {
      expect(v1EntryHash(rowOf(a))).toBe(a.entry_hash);
      expect(v1EntryHash(rowOf(b))).toBe(a.entry_hash);
      expect(verifyV1([rowOf(b)]).whole).toBe(true);
    }
  });
});

const GENESIS = '0'.repeat(64);

function rowAfter(previousHash: string, n: number): V1Row {
  const row = { previousHash, timestampUs: BigInt(n) * 1000n, action: 'encrypt', actorId: `u${n}`, details: '' };
  return { ...row, entryHash: v1EntryHash(row) };
}

function logOf(size: number): V1Row[] {
  const rows: V1Row[] = [];
  for (let i = 0; i < size; i += 1) rows.push(rowAfter(rows.at(-1)?.entryHash ?? GENESIS, i));
  return rows;
}

test('a known answer without the vectors', () => {
  const row = {
    previousHash: GENESIS,
    timestampUs: 1_704_067_200_123_450n,
    action: 'encrypt',
    actorId: 'user1',
    details: 'details',
  };
  expect(v1EntryHash(row)).toBe('ec25103a371c05eacc5880448ce6d71cc939703b784c765f278f291f39bc2ec2');
});

test('rows in any order are put in that of their links', () => {
  const log = logOf(20);
  const orders = fc.shuffledSubarray(log, { minLength: 20, maxLength: 20 });
  fc.assert(
    fc.property(orders, (rows) => {
      expect(verifyV1(rows)).toMatchObject({ whole: true, ordered: log });
    }),
  );
});

test('a changed row is named', () => {
  const log = logOf(5);
  const changed = { ...log[2]!, action: 'decrypt' };
  expect(verifyV1(log.with(2, changed))).toMatchObject({ whole: false, changed: [changed], forks: [], unreached: [] });
});

test('a deleted row leaves what came after it unreached', () => {
  const log = logOf(5);
  expect(verifyV1(log.toSpliced(2, 1))).toMatchObject({
    whole: false,
    ordered: log.slice(0, 2),
    unreached: log.slice(3),
  });
  expect(verifyV1(log.slice(1))).toMatchObject({ whole: false, ordered: [], unreached: log.slice(1) });
});

test('a fork is named, and both its branches are followed', () => {
  const log = logOf(4);
  const other = rowAfter(log[1]!.entryHash, 9);
  const after = rowAfter(other.entryHash, 10);
  const report = verifyV1([...log, other, after]);
  expect(report).toMatchObject({ whole: false, forks: [[log[2], other]], changed: [], unreached: [] });
  expect(report.ordered).toEqual([log[0], log[1], log[2], other, log[3], after]);
});

test('a row that is there twice is a fork', () => {
  const log = logOf(3);
  expect(verifyV1([...log, { ...log[1]! }])).toMatchObject({ whole: false, forks: [[log[1], log[1]]] });
});

test('rows that claim a circle are unreached', () => {
  const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
  const rows = [
    { ...rowAfter(a, 1), entryHash: b },
    { ...rowAfter(b, 2), entryHash: a },
    { ...rowAfter(GENESIS, 3), entryHash: GENESIS },
  ];
  const report = verifyV1(rows);
  expect(report.ordered).toEqual([rows[2]]);
  expect(report.changed).toHaveLength(3);
});

test('what v1 cannot show: a cut tail, and a log that was rewritten', () => {
  const log = logOf(5);
  expect(verifyV1(log.slice(0, 3)).whole).toBe(true);
  expect(verifyV1([]).whole).toBe(true);
  const first = { ...rowAfter(GENESIS, 77) };
  expect(verifyV1([first, rowAfter(first.entryHash, 78)]).whole).toBe(true);
});

test('timestamps that the Go service cannot have stored', () => {
  const row = logOf(1)[0]!;
  for (const timestampUs of [-62_135_596_800_000_001n, 253_402_300_800_000_000n]) {
    expect(codeOf(() => v1EntryHash({ ...row, timestampUs }))).toBe('ENTRY_INVALID');
    expect(verifyV1([{ ...row, timestampUs }]).changed).toHaveLength(1);
  }
  expect(v1EntryHash({ ...row, timestampUs: -1n })).toHaveLength(64);
});
