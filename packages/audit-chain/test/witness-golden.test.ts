import { readFileSync } from 'node:fs';
import { toHex } from '@minikms/crypto-core';
import { expect, test } from 'vitest';
import { cosignatures, intervalLeaf, openCheckpoint, parseVerifierKey, parseWitnessKey } from '../src/index.ts';
import { IntervalRoot } from '../src/interval-root.ts';
import { codeOf, h } from './cases.ts';

interface Golden {
  intervals: {
    logs: { tenant_id: string; epoch: string; size: string; root: string; leaf: string }[];
    root: string;
    details: string;
  }[];
  log_key: string;
  witness_keys: string[];
  not_witness_keys: string[];
  /** `null`: to be refused. */
  notes: { name: string; note: string; cosignatures: [number, string][] | null }[];
}

const read = (path: string): string => readFileSync(new URL(`../../../spec/${path}`, import.meta.url), 'utf8');
const golden = JSON.parse(read('vectors/audit-witness.json')) as Golden;
const keys = golden.witness_keys.map(parseWitnessKey);

test.each(golden.intervals)('the interval $details', ({ logs, root, details }) => {
  const interval = new IntervalRoot();
  for (const log of logs) {
    const leaf = {
      tenantId: log.tenant_id,
      epoch: Number(log.epoch),
      size: Number(log.size),
      root: h(log.root),
    };
    expect(toHex(intervalLeaf(leaf))).toBe(log.leaf);
    interval.add(leaf);
  }
  expect(toHex(interval.root())).toBe(root);
  expect(interval.details(0)).toBe(details);
});

test('the example of the page is one of them', () => {
  expect(read('audit-chain.md')).toContain(`\n${golden.intervals[2]!.details}\n`);
});

test.each(golden.notes)('a note: $name', ({ note, cosignatures: expected }) => {
  if (expected === null) {
    expect(codeOf(() => cosignatures(note, keys))).toBe('NOTE_SIGNATURE_INVALID');
    return;
  }
  const found = cosignatures(note, keys).map(({ key, timestamp }) => [keys.indexOf(key), String(timestamp)]);
  expect(found).toEqual(expected);
});

test('the log signed them all, whoever cosigned', () => {
  for (const { note } of golden.notes) {
    expect(openCheckpoint(note, [parseVerifierKey(golden.log_key)]).size).toBe(7);
  }
});

test.each(golden.not_witness_keys)('no key of a witness: %s', (key) => {
  expect(codeOf(() => parseWitnessKey(key))).toBe('KEY_MALFORMED');
});
