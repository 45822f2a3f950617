import fc from 'fast-check';
import { expect, test } from 'vitest';
import { verifyExport } from '../src/index.ts';
import { checkpointOf, exportOf, keyOf, makeLog, noteSigner } from './cases.ts';

const signer = noteSigner(1);
const keys = [keyOf(signer)];
const log = makeLog(6);
const TEXT = Buffer.from(
  exportOf(log.slice(0, 3), checkpointOf(log, signer, 3)) + exportOf(log.slice(3), checkpointOf(log, signer)),
);
/** Whole except for its end of line, which an export may lack. */
const trimmed = TEXT.subarray(0, -1);

const at = fc.nat({ max: TEXT.length - 1 });
const splice = fc
  .tuple(
    at,
    fc.nat({ max: 60 }),
    fc.oneof(
      fc.uint8Array({ maxLength: 8 }),
      fc.constantFrom('\n', '"', '\\u0041', '0', '=').map((one) => Buffer.from(one)),
    ),
  )
  .map(([from, removed, added]) => Buffer.concat([TEXT.subarray(0, from), added, TEXT.subarray(from + removed)]));
const bit = fc.tuple(at, fc.nat({ max: 7 })).map(([where, which]) => {
  const changed = Buffer.from(TEXT);
  changed[where]! ^= 1 << which;
  return changed;
});
const moved = fc.tuple(at, at, fc.nat({ max: 700 })).map(([from, to, length]) => {
  const part = TEXT.subarray(from, from + length);
  const rest = Buffer.concat([TEXT.subarray(0, from), TEXT.subarray(from + length)]);
  return Buffer.concat([rest.subarray(0, to), part, rest.subarray(to)]);
});
const swapped = fc.tuple(fc.nat({ max: 7 }), fc.nat({ max: 7 })).map(([a, b]) => {
  const lines = trimmed.toString().split('\n');
  const moving = lines[a]!;
  lines[a] = lines[b]!;
  lines[b] = moving;
  return Buffer.from(`${lines.join('\n')}\n`);
});
const cut = at.map((end) => TEXT.subarray(0, end));

test('the export that is mutated here is good', async () => {
  expect(await verifyExport([TEXT], { keys })).toMatchObject({ verdict: 'good', covered: 6 });
});

test('a mutated export is never found to be the whole log', async () => {
  await fc.assert(
    fc.asyncProperty(fc.oneof(bit, splice, moved, swapped, cut), async (changed) => {
      fc.pre(!changed.equals(TEXT) && !changed.equals(trimmed));
      const report = await verifyExport([changed], { keys });
      // Checkpoints may be left out, or stand earlier; then what is covered is still what was logged.
      const kept = await verifyExport([changed], { keys, checkpoints: [checkpointOf(log, signer)] });
      const entries = changed
        .toString('latin1')
        .split('\n')
        .filter((line) => line.startsWith('{"action"'));
      const intact =
        entries.join('\n') ===
        trimmed
          .toString('latin1')
          .split('\n')
          .filter((line) => line.startsWith('{"action"'))
          .join('\n');
      if (!intact) expect(kept.verdict).toBe('bad');
      if (!intact) expect([report.verdict, report.covered]).not.toEqual(['good', 6]);
    }),
    { numRuns: 2000 },
  );
});

test('whatever is read, nothing is thrown', async () => {
  const pieces = fc.array(
    fc.oneof(
      fc.uint8Array(),
      at.map((end) => TEXT.subarray(end, end + 300)),
      fc.constant(Buffer.from('\n{"checkpoint":"')),
    ),
  );
  await fc.assert(
    fc.asyncProperty(pieces, fc.boolean(), async (chunks, withKeys) => {
      const { verdict } = await verifyExport(chunks, withKeys ? { keys } : {});
      expect(['bad', 'unproven']).toContain(verdict);
    }),
    { numRuns: 500 },
  );
});
