import { expect, test } from 'vitest';
import { encodeCheckpointLine, type ExportReport, MAX_LINE, verifyExport, type VerifyOptions } from '../src/index.ts';
import { checkpointOf, exportOf, golden, goldenText, keyOf, makeLog, noteSigner, treeOf } from './cases.ts';

const signer = noteSigner(1);
const keys = [keyOf(signer)];
const log = makeLog(20);
const signed = checkpointOf(log, signer);

const verify = (text: string, options: VerifyOptions = { keys }): Promise<ExportReport> =>
  verifyExport([Buffer.from(text)], options);

/** Chunks of a size; the last may be smaller. */
function* chunks(text: string, size: number): Generator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield Uint8Array.from(bytes.subarray(at, at + size));
}

test('a report says whose log it is, and how far it is signed', async () => {
  const report = await verify(exportOf(log, signed));
  expect(report).toEqual({
    verdict: 'good',
    faults: [],
    entries: 20,
    covered: 20,
    tenantId: 'acme',
    origin: 'kms.example.com/audit/acme/1',
    root: treeOf(log).root(),
  });
});

test('however the bytes arrive, the report is the same', async () => {
  for (const c of golden.exports) {
    const options = { keys, checkpoints: c.checkpoints };
    const whole = await verify(goldenText(c), options);
    for (const size of [1, 7, 64, 1000])
      expect(await verifyExport(chunks(goldenText(c), size), options)).toEqual(whole);
  }
});

test('without keys the roots are compared all the same, and nothing is proven', async () => {
  expect(await verify(exportOf(log, signed), {})).toMatchObject({ verdict: 'unproven', covered: 0, entries: 20 });
  const other = makeLog(20, () => ({ actorId: 'nobody' }));
  const report = await verify(exportOf(other, signed), {});
  expect(report).toMatchObject({ verdict: 'bad', faults: [{ code: 'ROOT_MISMATCH', line: 21 }] });
});

test('a rewritten entry is narrowed down by the checkpoints that fit', async () => {
  const rewritten = makeLog(20, ({ seq }) => (seq === 13n ? { actorId: 'nobody' } : {}));
  const kept = [5, 10, 12, 15].map((size) => checkpointOf(log, signer, size));
  const report = await verify(exportOf(rewritten, checkpointOf(rewritten, signer)), { keys, checkpoints: kept });
  expect(report.faults).toMatchObject([{ code: 'ROOT_MISMATCH', first: 13, last: 15 }]);
  expect(report.faults).toHaveLength(1);
});

test('two checkpoints of one size that contradict each other are a fork, whatever the entries', async () => {
  const other = makeLog(30, () => ({ actorId: 'nobody' }));
  const kept = [checkpointOf(other, signer, 30), checkpointOf(makeLog(30), signer, 30)];
  const report = await verify(exportOf(log, signed), { keys, checkpoints: kept });
  expect(report.faults.map(({ code }) => code)).toEqual(['LOG_FORKED', 'LOG_TRUNCATED', 'LOG_TRUNCATED']);
});

test('the same checkpoint twice is no fork', async () => {
  expect(await verify(exportOf(log, signed, signed), { keys, checkpoints: [signed] })).toMatchObject({
    verdict: 'good',
  });
});

test('checkpoints that wait are bounded', async () => {
  const root = Buffer.alloc(32).toString('base64');
  const line = (size: number): string => encodeCheckpointLine(`kms/acme/1\n${size}\n${root}\n\n— kms AAAAAAA=\n`);
  const lines = Array.from({ length: 10_001 }, (_, i) => line(i + 1));
  const report = await verify(lines.join('\n'), {});
  expect(report.faults[0]).toMatchObject({ code: 'CHECKPOINT_EXCESS', line: 10_001 });
  // The same again does not count.
  const again = await verify(`${line(1)}\n`.repeat(20_000), {});
  expect(again.faults.map(({ code }) => code)).toEqual(['LOG_TRUNCATED']);
});

test('so are the faults of checkpoints', async () => {
  const report = await verify('{"checkpoint":"x"}\n'.repeat(100_000) + exportOf(log));
  expect(report).toMatchObject({ verdict: 'bad', entries: 0, covered: 0 });
  expect(report.faults).toHaveLength(100);
});

test('a line of any length is refused without being held', async () => {
  function* endless(): Generator<Uint8Array> {
    yield Buffer.from(exportOf(log));
    for (let i = 0; i < 1_000_000; i += 1) yield Buffer.alloc(100_000, 0x61);
  }
  const seen: number[] = [];
  const report = await verifyExport(endless(), { onProgress: ({ bytes }) => seen.push(bytes) });
  expect(report).toMatchObject({
    verdict: 'bad',
    entries: 20,
    faults: [{ code: 'LINE_TOO_LONG', first: 21, line: 21 }],
  });
  expect(seen.length).toBeLessThan(5);
  const inOneChunk = await verify(`${'a'.repeat(MAX_LINE + 1)}\n${exportOf(log)}`);
  expect(inOneChunk.faults[0]).toMatchObject({ code: 'LINE_TOO_LONG', line: 1 });
});

test('entries and nodes are handed out in order, up to the first bad one', async () => {
  const seen: bigint[] = [];
  const options: VerifyOptions = { onEntry: (_, entry) => seen.push(entry().seq) };
  const text = exportOf(log.with(4, { ...log[4]!, actorId: 'nobody' }));
  expect((await verify(text, options)).faults[0]).toMatchObject({ code: 'HASH_MISMATCH', first: 5 });
  expect(seen).toEqual([1n, 2n, 3n, 4n]);
});

test('what reading the source throws comes through', async () => {
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('');
    await Promise.reject(new Error('disk'));
  }
  await expect(verifyExport(broken())).rejects.toThrow('disk');
});
