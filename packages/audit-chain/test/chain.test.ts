import { expect, test } from 'vitest';
import { ChainVerifier } from '../src/index.ts';
import { codeOf, makeLog } from './cases.ts';

test('a whole log is good, whatever its timestamps', () => {
  const log = makeLog(50, ({ seq }) => ({ timestampUs: seq % 2n === 0n ? -seq : seq }));
  const chain = new ChainVerifier();
  expect(chain.tenantId).toBeUndefined();
  expect(chain.head).toEqual(new Uint8Array(32));
  for (const entry of log) expect(chain.add(entry)).toBeUndefined();
  expect([chain.size, chain.tenantId, chain.head]).toEqual([50, 'acme', log.at(-1)!.entryHash]);
});

test('after a fault it stays at that fault', () => {
  const [one, two, three] = makeLog(3);
  const chain = new ChainVerifier();
  chain.add(one!);
  const fault = chain.add(three!);
  expect(fault).toMatchObject({ code: 'SEQ_GAP', first: 2, last: 2 });
  expect(chain.add(two!)).toBe(fault);
  expect(chain.fault).toBe(fault);
  expect([chain.size, chain.head]).toEqual([1, one!.entryHash]);
});

test('a seq that no number holds is not the next', () => {
  const [one] = makeLog(1, () => ({ seq: 2n ** 64n - 1n }));
  expect(new ChainVerifier().add(one!)?.message).toContain('18446744073709551615');
});

test('an entry outside its bounds is thrown, not judged', () => {
  const [one] = makeLog(1);
  expect(codeOf(() => new ChainVerifier().add({ ...one!, action: '' }))).toBe('ENTRY_INVALID');
});

test('messages hold nothing of an entry but numbers', () => {
  const [one, two] = makeLog(2, () => ({ tenantId: 'secret', actorId: 'secret', details: 'secret', action: 'secret' }));
  const messages = [
    { ...one!, seq: 7n },
    { ...one!, actorId: 'secret2' },
    { ...one!, previousHash: new Uint8Array(32).fill(1) },
  ].map((entry) => new ChainVerifier().add(entry)?.message);
  const chain = new ChainVerifier();
  chain.add(one!);
  messages.push(chain.add({ ...two!, tenantId: 'secret3' })?.message);
  expect(messages).toHaveLength(4);
  expect(messages.join()).not.toContain('secret');
});
