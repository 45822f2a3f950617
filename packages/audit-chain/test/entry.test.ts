import { domainSeparated, toHex, uint64 } from '@minikms/crypto-core';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AuditEntry, encodeLine, entryHash, MAX_BYTES, parseLine } from '../src/index.ts';
import { codeOf, makeLog } from './cases.ts';

const text = (max: number, min = 0): fc.Arbitrary<string> =>
  fc
    .array(
      fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('"', '\\', '\n', '\u0000', '\u001f', '\u007f', '\u2028')),
    )
    .map((parts) =>
      parts
        .join('')
        .slice(0, max / 4)
        .toWellFormed(),
    )
    .map((one) => (one.length < min ? 'x' : one));
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
const entries: fc.Arbitrary<AuditEntry> = fc.record({
  seq: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
  timestampUs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  action: text(MAX_BYTES.action, 1),
  actorId: text(MAX_BYTES.actorId),
  details: text(MAX_BYTES.details),
  tenantId: text(MAX_BYTES.tenantId, 1),
  requestJwtHash: fc.oneof(bytes32, fc.constant(new Uint8Array(0))),
  previousHash: bytes32,
  entryHash: bytes32,
});
const [sample] = makeLog(1) as [AuditEntry];

test('the hash is SHA-256 over the domain and LP of each field, whatever they hold', () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const input = domainSeparated(
        'minikms/audit/v2',
        entry.previousHash,
        uint64(BigInt.asUintN(64, entry.timestampUs)),
        entry.action,
        entry.actorId,
        entry.details,
        entry.tenantId,
        uint64(entry.seq),
        entry.requestJwtHash,
      );
      expect(toHex(entryHash(entry))).toBe(createHash('sha256').update(input).digest('hex'));
    }),
  );
});

test('every entry comes back from its line, and every line from its entry', () => {
  fc.assert(
    fc.property(entries, (entry) => {
      const line = encodeLine(entry);
      expect(parseLine(line)).toEqual(entry);
      expect(encodeLine(parseLine(Buffer.from(line)))).toBe(line);
      expect(Object.keys(JSON.parse(line) as object)).toEqual(Object.keys(JSON.parse(line) as object).toSorted());
    }),
  );
});

test('bytes that are changed give another entry or no entry', () => {
  fc.assert(
    fc.property(entries, fc.nat(), fc.nat({ max: 255 }), (entry, where, byte) => {
      const line = Buffer.from(encodeLine(entry));
      const changed = Buffer.from(line);
      changed[where % line.length] = byte;
      const result = codeOf(() => expect(parseLine(changed)).not.toEqual(entry));
      expect(changed.equals(line) || ['returned', 'LINE_MALFORMED'].includes(result)).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test('whatever is read as a line, nothing but AuditError is thrown', () => {
  const json = fc.json().map((one) => Buffer.from(one));
  const pieces = fc
    .array(
      fc.constantFrom(
        '{"action":"',
        'x',
        '","actor_id":"',
        '\\u',
        '\\u000',
        '\\',
        '"',
        '","details":"',
        '{}',
        'A'.repeat(43),
        '=',
      ),
    )
    .map((parts) => Buffer.from(parts.join('')));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), json, pieces), (line) => {
      expect(codeOf(() => parseLine(line))).toBe('LINE_MALFORMED');
    }),
    { numRuns: 500 },
  );
});

test.each([
  ['', 'it is empty'],
  ['no', 'it is not a JSON object'],
  ['[]', 'it is not a JSON object'],
  ['{"x":1}', 'it has the unknown field "x"'],
  ['{"action":"a"}', 'it has no field "actor_id"'],
  [encodeLine(sample).replace('"seq":"1"', '"seq":1'), 'its field "seq" is not a string'],
  [` ${encodeLine(sample)}`, 'the one form'],
  ['x'.repeat(131_073), 'it is longer than 131072 bytes'],
])('a line that is not an entry is explained: %#', (line, message) => {
  expect(() => parseLine(line)).toThrow(message);
});

describe('bounds', () => {
  const over = (field: 'action' | 'actorId' | 'details' | 'tenantId'): [string, Partial<AuditEntry>] => [
    `${field} too long`,
    { [field]: `${'é'.repeat(MAX_BYTES[field] / 2)}x` },
  ];

  test.each<[string, Partial<AuditEntry>]>([
    over('action'),
    over('actorId'),
    over('details'),
    over('tenantId'),
    ['no action', { action: '' }],
    ['no tenant', { tenantId: '' }],
    ['a lone surrogate', { details: 'a\ud800b' }],
    ['a lone surrogate at the end', { actorId: '\udc00' }],
    ['seq 0', { seq: 0n }],
    ['seq 2^64', { seq: 2n ** 64n }],
    ['timestamp 2^63', { timestampUs: 2n ** 63n }],
    ['timestamp -2^63 - 1', { timestampUs: -(2n ** 63n) - 1n }],
    ['previous hash of 31 bytes', { previousHash: new Uint8Array(31) }],
    ['token hash of 31 bytes', { requestJwtHash: new Uint8Array(31) }],
  ])('%s is refused', (_, change) => {
    expect(codeOf(() => entryHash({ ...sample, ...change }))).toBe('ENTRY_INVALID');
    expect(codeOf(() => encodeLine({ ...sample, ...change }))).toBe('ENTRY_INVALID');
  });

  test('the longest texts are taken', () => {
    for (const field of ['action', 'actorId', 'details', 'tenantId'] as const) {
      for (const unit of ['x', 'é', '😀', '\u0001']) {
        const entry = { ...sample, [field]: unit.repeat(MAX_BYTES[field] / Buffer.byteLength(unit)) };
        expect(parseLine(encodeLine(entry))).toEqual(entry);
      }
    }
  });

  test('an entry_hash of another length has no line', () => {
    expect(codeOf(() => encodeLine({ ...sample, entryHash: new Uint8Array(33) }))).toBe('ENTRY_INVALID');
  });
});
