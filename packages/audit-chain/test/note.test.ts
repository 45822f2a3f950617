import fc from 'fast-check';
import { SecretBytes, Signer } from '@minikms/crypto-core';
import { describe, expect, test } from 'vitest';
import {
  formatOrigin,
  formatVerifierKey,
  openCheckpoint,
  openNote,
  parseCheckpoint,
  parseNote,
  parseOrigin,
  parseReceipt,
  parseVerifierKey,
  signCheckpoint,
  signNote,
  verifierKey,
} from '../src/index.ts';
import { codeOf, keyOf, LOG, noteSigner, vectorJson, vectorsAbsent } from './cases.ts';

interface Vectors {
  signer_skey: string;
  sign_text: string;
  sign_expected: string;
  cases: { name: string; note: string; vkeys: string[]; ok: boolean }[];
  bad_vkeys: string[];
}

describe.skipIf(vectorsAbsent)('tlog/signed-note.json', () => {
  const vectors = vectorJson<Vectors>('tlog/signed-note.json');

  test('the notes', () => {
    expect(vectors.cases).toHaveLength(13);
    const found = vectors.cases.map(({ name, note, vkeys }) => {
      const keys = vkeys.map(parseVerifierKey);
      const code = codeOf(() => expect(note.startsWith(openNote(note, keys).text)).toBe(true));
      return { name, ok: code === 'returned' };
    });
    expect(found).toEqual(vectors.cases.map(({ name, ok }) => ({ name, ok })));
  });

  test('the key that signs', () => {
    const [, , name, , ...data] = vectors.signer_skey.split('+');
    const seed = Buffer.from(data.join('+'), 'base64').subarray(1);
    const signer = Signer.fromSeed(SecretBytes.from('signing-seed', seed));
    expect(signNote(vectors.sign_text, [{ name: name!, signer }])).toBe(vectors.sign_expected);
  });

  test.each(vectors.bad_vkeys ?? [])('no key: %s', (key) => {
    expect(codeOf(() => parseVerifierKey(key))).toBe('KEY_MALFORMED');
  });
});

const [log, witness, stranger] = [noteSigner(1), noteSigner(2, 'witness.example.org'), noteSigner(3)] as const;
const TEXT = 'Ogni\n\nnuno\n';

describe('notes', () => {
  const note = signNote(TEXT, [log, witness]);

  test('any known key is enough, and who signed is said', () => {
    expect(openNote(note, [keyOf(log), keyOf(stranger)])).toEqual({ text: TEXT, signedBy: [keyOf(log)] });
    expect(openNote(note, [keyOf(witness), keyOf(log)]).signedBy).toHaveLength(2);
    expect(parseNote(note).signatures.map(({ name }) => name)).toEqual([LOG, 'witness.example.org']);
  });

  test('no known key, or a signature that does not fit, is refused', () => {
    expect(codeOf(() => openNote(note, [keyOf(stranger)]))).toBe('NOTE_UNSIGNED');
    expect(codeOf(() => openNote(note, []))).toBe('NOTE_UNSIGNED');
    const changed = note.replace('Ogni', 'ogni');
    expect(codeOf(() => openNote(changed, [keyOf(log)]))).toBe('NOTE_SIGNATURE_INVALID');
    // One good signature does not make up for a bad one by a known key.
    const mixed = note.replace(/— witness.*\n/, signNote('other\n', [witness]).split('\n\n')[1]!);
    expect(codeOf(() => openNote(mixed, [keyOf(log), keyOf(witness)]))).toBe('NOTE_SIGNATURE_INVALID');
    expect(openNote(mixed, [keyOf(log)]).text).toBe(TEXT);
  });

  test.each([
    ['nothing', ''],
    ['no signature', 'a\n'],
    ['no signature after the empty line', 'a\n\n'],
    ['an empty line after the signatures', `${note}\n`],
    ['a carriage return', note.replace('\n', '\r\n')],
    ['a hyphen', note.replaceAll('—', '-')],
    ['two spaces', note.replace('— ', '—  ')],
    ['a name with plus', note.replace('— kms', '— k+s')],
    ['a name with a no-break space', note.replace('— kms', '— k\u00a0s')],
    ['base64 that is not padded', note.replace('=\n', '\n')],
    ['a lone surrogate', note.replace('Ogni', '\ud800')],
    ['too many signatures', `a\n\n${note.split('\n').at(-2)}\n`.replace(/— .*\n/, (line) => line.repeat(101))],
    ['too long', `${'a'.repeat(65_536)}${note}`],
  ])('malformed: %s', (_, text) => {
    expect(codeOf(() => parseNote(text))).toBe('NOTE_MALFORMED');
  });

  test('16 signatures and more are taken', () => {
    const signers = Array.from({ length: 20 }, (_, i) => noteSigner(i, `key${i}`));
    expect(openNote(signNote('a\n', signers), signers.map(keyOf)).signedBy).toHaveLength(20);
  });

  test('a text that would be read back differently is not signed', () => {
    for (const text of ['no end', 'a\u0000\n', '\ud800\n']) {
      expect(['NOTE_MALFORMED', 'TEXT_INVALID']).toContain(codeOf(() => signNote(text, [log])));
    }
    expect(codeOf(() => signNote('a\n', []))).toBe('NOTE_MALFORMED');
  });

  test('keys come back from their text, and no other text is one', () => {
    const key = keyOf(log);
    const text = formatVerifierKey(key);
    expect(parseVerifierKey(text)).toEqual(key);
    for (const bad of ['', text.toUpperCase(), `${text} `, text.slice(1), `${text}=`, text.replace('+', '++')]) {
      expect(codeOf(() => parseVerifierKey(bad))).toBe('KEY_MALFORMED');
    }
    for (const name of ['', 'a b', 'a+b', 'a\nb', '\ud800']) {
      expect(codeOf(() => verifierKey(name, key.publicKey))).toBe('KEY_MALFORMED');
    }
    expect(codeOf(() => verifierKey('a', new Uint8Array(31)))).toBe('KEY_MALFORMED');
  });
});

describe('checkpoints', () => {
  const root = new Uint8Array(32).fill(9);
  const origin = formatOrigin({ log: LOG, tenantId: 'acme', epoch: 1 });
  const keys = [keyOf(log)];

  test('extension lines are read over', () => {
    const text = `${origin}\n7\n${Buffer.from(root).toString('base64')}\nmore\n`;
    expect(openCheckpoint(signNote(text, [log]), keys)).toEqual({ origin, size: 7, root });
  });

  test.each([
    '',
    'a\n',
    'a\n1\n',
    'a\n01\nX\n',
    'a\n-1\nX\n',
    'a\n9007199254740992\nX\n',
    'a\n1\nAAAA\n',
    '\n1\nX\n',
    'a\n1\nX\n\nb\n',
    'a\n1\nX',
  ])('malformed: %j', (text) => {
    const whole = text.replace('X', Buffer.from(root).toString('base64'));
    expect(codeOf(() => parseCheckpoint(whole))).toBe('CHECKPOINT_MALFORMED');
  });

  test('a key speaks for the logs of its name', () => {
    const by = (name: string): string => {
      const signer = noteSigner(1, name);
      return codeOf(() => openCheckpoint(signCheckpoint({ origin, size: 1, root }, [signer]), [keyOf(signer)]));
    };
    expect([LOG, 'kms.example.com', origin].map(by)).toEqual(['returned', 'returned', 'returned']);
    expect(['kms.example.co', `${LOG}/acm`, 'other.example.com', `${origin}/x`].map(by)).toEqual(
      Array(4).fill('NOTE_UNSIGNED'),
    );
  });

  test('what is no checkpoint is not signed', () => {
    const sign = (change: object): string => codeOf(() => signCheckpoint({ origin, size: 1, root, ...change }, [log]));
    expect(sign({ origin: 'acme' })).toBe('ORIGIN_INVALID');
    expect(sign({ size: -1 })).toBe('TREE_INVALID');
    expect(sign({ root: new Uint8Array(31) })).toBe('TREE_INVALID');
  });

  test('an origin comes back, whatever the tenant is called', () => {
    const tenant = fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }).filter((one) => one.isWellFormed());
    fc.assert(
      fc.property(tenant, fc.integer({ min: 1 }), (tenantId, epoch) => {
        expect(parseOrigin(formatOrigin({ log: LOG, tenantId, epoch }))).toEqual({ log: LOG, tenantId, epoch });
      }),
    );
    expect(parseOrigin('a/b/c%2Fd/2')).toEqual({ log: 'a/b', tenantId: 'c/d', epoch: 2 });
    for (const bad of [
      '',
      'a',
      'a/b',
      'a/b/0',
      'a/b/01',
      'a/b/x',
      'a//1',
      '/b/1',
      'a/%zz/1',
      'a/%61/1',
      'a/%2f/1',
      'a b/c/1',
      'a+/c/1',
      'a//b/1',
    ]) {
      expect([bad, codeOf(() => parseOrigin(bad))]).toEqual([bad, 'ORIGIN_INVALID']);
    }
  });
});

test('whatever is parsed, nothing but AuditError is thrown', () => {
  const codes = new Set<string>();
  const note = signNote(TEXT, [log]);
  const mutated = fc
    .tuple(fc.constantFrom(note, `c2sp.org/tlog-proof@v1\nindex 0\n\n${note}`), fc.nat(), fc.string({ unit: 'binary' }))
    .map(([text, at, part]) => text.slice(0, at % text.length) + part + text.slice((at % text.length) + part.length));
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), mutated), (text) => {
      for (const parse of [parseNote, parseCheckpoint, parseOrigin, parseVerifierKey, parseReceipt]) {
        codes.add(codeOf(() => parse(text)));
      }
      codes.add(codeOf(() => openCheckpoint(text, [keyOf(log)])));
    }),
    { numRuns: 300 },
  );
  const known = [
    'returned',
    'NOTE_MALFORMED',
    'NOTE_UNSIGNED',
    'NOTE_SIGNATURE_INVALID',
    'CHECKPOINT_MALFORMED',
    'ORIGIN_INVALID',
    'KEY_MALFORMED',
    'RECEIPT_MALFORMED',
  ];
  expect([...codes].filter((code) => !known.includes(code))).toEqual([]);
});
