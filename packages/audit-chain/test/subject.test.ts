import { createHash, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { newSubject, SubjectCache, verifySubject } from '../src/index.ts';
import { codeOf } from './cases.ts';

const LP = (bytes: Uint8Array): Uint8Array[] => {
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(bytes.length));
  return [length, bytes];
};

test('an id is the hash of a salt and the label, and proves nothing else', () => {
  const label = 'ann@example.com – 日本';
  const { id, salt, ...rest } = newSubject('acme', 'member', label);
  expect(rest).toEqual({ tenantId: 'acme', kind: 'member', label });
  const input = Buffer.concat([Buffer.from('minikms/audit/subject/v1'), ...LP(salt), ...LP(Buffer.from(label))]);
  expect(id).toBe(createHash('sha256').update(input).digest('base64url'));
  expect(id).toMatch(/^[\w-]{43}$/);
  expect(verifySubject(id, salt, label)).toBe(true);
  expect(verifySubject(id, salt, `${label}x`)).toBe(false);
  expect(verifySubject(id, randomBytes(32), label)).toBe(false);
  expect(verifySubject(`${id}=`, salt, label)).toBe(false);
  expect(verifySubject('\ud800', salt, label)).toBe(false);
  expect(verifySubject(id, salt, '\ud800')).toBe(false);
});

test('only with a salt that hides the label: a short one is refused', () => {
  const short = randomBytes(4);
  const input = Buffer.concat([Buffer.from('minikms/audit/subject/v1'), ...LP(short), ...LP(Buffer.from('ann'))]);
  const id = createHash('sha256').update(input).digest('base64url');
  expect(verifySubject(id, short, 'ann')).toBe(false);
});

test('the same label has another id each time', () => {
  const [one, two] = [newSubject('a', 'member', 'ann'), newSubject('a', 'member', 'ann')];
  expect(one.id).not.toBe(two.id);
  expect(one.salt).toHaveLength(32);
});

test('a label without exact encoding is refused', () => {
  expect(codeOf(() => newSubject('a', 'member', '\ud800'))).toBe('TEXT_INVALID');
});

test('the cache gives the same subject for the same tenant, kind and label', () => {
  const cache = new SubjectCache(100);
  const ann = cache.of('acme', 'member', 'ann');
  expect(ann).toMatchObject({ stored: false, subject: { tenantId: 'acme', kind: 'member', label: 'ann' } });
  ann.stored = true;
  expect(cache.of('acme', 'member', 'ann')).toBe(ann);
  const others = [
    cache.of('acm', 'emember', 'ann'),
    cache.of('acme', 'membera', 'nn'),
    cache.of('other', 'member', 'ann'),
    cache.of('acme', 'peer', 'ann'),
  ];
  expect(new Set([ann, ...others].map(({ subject }) => subject.id)).size).toBe(5);
  expect(others.every(({ stored }) => !stored)).toBe(true);
});

test('the cache forgets what was not used for longest', () => {
  const cache = new SubjectCache(2);
  const [a, b] = [cache.of('t', 'k', 'a'), cache.of('t', 'k', 'b')];
  expect(cache.of('t', 'k', 'a')).toBe(a);
  cache.of('t', 'k', 'c');
  expect(cache.of('t', 'k', 'a')).toBe(a);
  expect(cache.of('t', 'k', 'b')).not.toBe(b);
});

test('an erased label gets another id, in one tenant or in all', () => {
  const cache = new SubjectCache(100);
  const all = (): string[] => ['a', 'b', 'c'].map((tenantId) => cache.of(tenantId, 'member', 'ann').subject.id);
  const bob = cache.of('a', 'member', 'bob');
  const before = all();
  cache.forget('a', 'ann');
  const between = all();
  expect(between.map((id, i) => id === before[i])).toEqual([false, true, true]);
  cache.forget(undefined, 'ann');
  expect(all().filter((id) => between.includes(id))).toEqual([]);
  expect(cache.of('a', 'member', 'bob')).toBe(bob);
});
