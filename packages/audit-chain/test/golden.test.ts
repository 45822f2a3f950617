import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { SecretBytes, Signer, toHex } from '@minikms/crypto-core';
import { describe, expect, test } from 'vitest';
import {
  type AuditEntry,
  consistencyProof,
  encodeLine,
  entryHash,
  formatReceipt,
  formatVerifierKey,
  inclusionProof,
  leafHash,
  MemoryNodes,
  openCheckpoint,
  parseLine,
  parseReceipt,
  parseVerifierKey,
  signCheckpoint,
  TreeFrontier,
  verifierKey,
  verifyConsistency,
  verifyExport,
  verifyInclusion,
  verifyReceipt,
} from '../src/index.ts';
import { HashInput } from '../src/hash-input.ts';
import { codeOf, golden, type GoldenEntry, goldenText, h } from './cases.ts';

function entryOf(c: GoldenEntry): AuditEntry {
  return {
    seq: BigInt(c.seq),
    timestampUs: BigInt(c.timestamp_us),
    action: c.action,
    actorId: c.actor_id,
    details: c.details.repeat(c.details_repeated ?? 1),
    tenantId: c.tenant_id,
    requestJwtHash: h(c.request_jwt_hash),
    previousHash: h(c.previous_hash),
    entryHash: h(c.entry_hash),
  };
}

test('the golden file is whole', () => {
  const { entries, exports, bad_lines, receipts, bad_receipts } = golden;
  expect([entries, exports, bad_lines, receipts, bad_receipts].map((list) => list.length)).toEqual([13, 52, 49, 5, 9]);
});

describe.each(golden.entries)('spec/vectors/audit-chain.json: $name', (c) => {
  test('its hash is reproduced', () => {
    const input = new HashInput();
    input.put(entryOf(c));
    if (c.hashed !== undefined) expect(toHex(input.bytes.subarray(0, input.end))).toBe(c.hashed);
    expect(toHex(entryHash(entryOf(c)))).toBe(c.entry_hash);
  });

  test('its line is reproduced, and read', () => {
    const line = encodeLine(entryOf(c));
    if (c.line === undefined) {
      expect(Buffer.byteLength(line)).toBe(c.line_bytes);
      expect(createHash('sha256').update(line).digest('hex')).toBe(c.line_sha256);
    } else {
      expect(line).toBe(c.line);
    }
    expect(parseLine(line)).toEqual(entryOf(c));
    expect(parseLine(Buffer.from(line))).toEqual(entryOf(c));
  });
});

test.each(golden.bad_lines)('no line of an export: $name', ({ line }) => {
  expect(codeOf(() => parseLine(line))).toBe('LINE_MALFORMED');
});

describe('the tree of the log', () => {
  const nodes = new MemoryNodes();
  const tree = new TreeFrontier(nodes.sink);
  const { leaf_hashes, roots, inclusion, consistency } = golden.tree;

  test('its leaves and roots are reproduced', () => {
    expect(golden.entries.slice(0, 9).map((c) => toHex(leafHash(h(c.entry_hash))))).toEqual(leaf_hashes);
    const found = [toHex(tree.root())];
    for (const leaf of leaf_hashes) {
      tree.append(h(leaf));
      found.push(toHex(tree.root()));
    }
    expect(found).toEqual(roots);
  });

  test.each(inclusion)('inclusion of $index in $size', async ({ index, size, proof }) => {
    expect((await inclusionProof(nodes, index, size)).map(toHex)).toEqual(proof);
    expect(verifyInclusion(h(leaf_hashes[index]!), index, size, proof.map(h), h(roots[size]!))).toBe(true);
  });

  test.each(consistency)('consistency of $older with $newer', async ({ older, newer, proof }) => {
    expect((await consistencyProof(nodes, older, newer)).map(toHex)).toEqual(proof);
    expect(verifyConsistency(older, newer, h(roots[older]!), h(roots[newer]!), proof.map(h))).toBe(true);
  });
});

describe('checkpoints and receipts', () => {
  const signer = Signer.fromSeed(SecretBytes.take('signing-seed', h(golden.signer.seed)));
  const { name, verifier_key } = golden.signer;
  const keys = [parseVerifierKey(verifier_key)];

  test('the key is reproduced', () => {
    expect(formatVerifierKey(verifierKey(name, signer.publicKey))).toBe(verifier_key);
  });

  test.each([
    [golden.checkpoint, 9],
    [golden.older_checkpoint, 5],
  ])('a checkpoint is reproduced, and read', (note, size) => {
    const checkpoint = { origin: golden.origin, size, root: h(golden.tree.roots[size]!) };
    expect(signCheckpoint(checkpoint, [{ name, signer }])).toBe(note);
    expect(openCheckpoint(note, keys)).toEqual(checkpoint);
  });

  test.each(golden.receipts)('the receipt of $index in $size is reproduced, and proves it', ({ index, receipt }) => {
    const proven = verifyReceipt(receipt, keys);
    expect(proven.entry).toEqual(entryOf(golden.entries[index]!));
    expect(formatReceipt(parseReceipt(receipt))).toBe(receipt);
  });

  test.each(golden.bad_receipts)('no receipt: $name', ({ receipt, expect: code }) => {
    expect(codeOf(() => verifyReceipt(receipt, keys))).toBe(code);
  });

  test.each(golden.exports)('the export "$name" is $verdict', async (c) => {
    const report = await verifyExport([Buffer.from(goldenText(c))], { keys, checkpoints: c.checkpoints });
    const { verdict, entries, covered, faults } = report;
    const { code, first, last } = faults[0] ?? {};
    expect({ verdict, entries, covered, code, first, last }).toEqual({
      verdict: c.verdict,
      entries: c.entries,
      covered: c.covered,
      code: c.code,
      first: c.first,
      last: c.last,
    });
  });
});

test('every section of spec/audit-chain.md that the source cites is there', () => {
  const page = readFileSync(new URL('../../../spec/audit-chain.md', import.meta.url), 'utf8');
  const sections = new Map([...page.matchAll(/^## (\d+)\. (.+)$/gm)].map(([, number, title]) => [number, title]));
  const source = new URL('../src/', import.meta.url);
  const cited = readdirSync(source)
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) =>
      [...readFileSync(new URL(name, source), 'utf8').matchAll(/audit-chain\.md §(\d+)/g)].map(
        ([, number]) => `${name}: ${sections.get(number)}`,
      ),
    );
  expect(cited.filter((one, i) => cited.indexOf(one) === i).sort()).toEqual([
    'bounds.ts: Entry hash',
    'bounds.ts: Export',
    'chain.ts: Chain',
    'checkpoint.ts: Checkpoint and origin',
    'checkpointer.ts: Interval entry',
    'checkpointer.ts: Receipt',
    'cosignature.ts: Cosignatures',
    'entry.ts: Entry hash',
    'hash-input.ts: Entry hash',
    'interval-root.ts: Interval entry',
    'line-scanner.ts: Export',
    'line.ts: Export',
    'merkle.ts: Tree',
    'ports.ts: Entry hash',
    'rollback-guard.ts: Checkpoint and origin',
    'v1.ts: Version 1',
    'verify.ts: Export',
  ]);
});
