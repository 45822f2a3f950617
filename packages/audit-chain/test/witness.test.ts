import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  consistencyProof,
  cosignatures,
  formatOrigin,
  formatWitnessKey,
  leafHash,
  MemoryNodes,
  openCheckpoint,
  parseNote,
  parseWitnessKey,
  signCheckpoint,
  TreeFrontier,
  Witnesses,
  type WitnessesOptions,
  witnessKey,
} from '../src/index.ts';
import { cosign } from '../src/cosignature.ts';
import { formatSignature } from '../src/note.ts';
import { addCheckpoint, type Answer, type Submission, type Transport } from '../src/witness.ts';
import { codeOf, keyOf, LOG, noteSigner, rejection } from './cases.ts';
import { hashAt } from './synthetic-store.ts';
import { TestWitness } from './witness-server.ts';

const signer = noteSigner(1);
const origin = formatOrigin({ log: LOG, tenantId: '_system', epoch: 1 });
const nodes = new MemoryNodes();
const notes: string[] = [];
const tree = new TreeFrontier(nodes.sink);
for (let size = 0; size <= 40; size += 1) {
  if (size > 0) tree.append(leafHash(hashAt(size)));
  notes.push(signCheckpoint({ origin, size, root: tree.root() }, [signer]));
}
const submission = (size: number): Submission => ({
  note: notes[size]!,
  size,
  proof: (oldSize) => consistencyProof(nodes, oldSize, size),
});
const transport: Transport = { fetch: globalThis.fetch, now: Date.now, timeoutMs: 5000 };

describe('keys of witnesses', () => {
  // C2SP: a key of a witness that is in use.
  const text = 'remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2';

  test('come back from their text, and no other text is one', () => {
    expect(formatWitnessKey(parseWitnessKey(text))).toBe(text);
    const { name, publicKey } = parseWitnessKey(text);
    expect(witnessKey(name, publicKey)).toEqual(parseWitnessKey(text));
    const log = `PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW`;
    for (const bad of ['', log, text.replace('remora', 'rem0ra'), `${text}=`, text.slice(0, -4)]) {
      expect([bad, codeOf(() => parseWitnessKey(bad))]).toEqual([bad, 'KEY_MALFORMED']);
    }
  });
});

describe('cosignatures', () => {
  const [one, two] = [noteSigner(2, 'witness.example.com/1'), noteSigner(3, 'witness.example.com/2')];
  const keyOfWitness = (by: typeof one): ReturnType<typeof witnessKey> => witnessKey(by.name, by.signer.publicKey);
  const text = parseNote(notes[7]!).text;
  const line = (by = one, at = 1_767_225_600, of = text): string => formatSignature(cosign(of, by, at));

  test('say who saw the checkpoint and when', () => {
    const note = notes[7]! + line() + line(two, 1_767_225_601);
    expect(cosignatures(note, [one, two].map(keyOfWitness))).toEqual([
      { key: keyOfWitness(one), timestamp: 1_767_225_600 },
      { key: keyOfWitness(two), timestamp: 1_767_225_601 },
    ]);
    expect(cosignatures(note, [keyOfWitness(two)])).toHaveLength(1);
    expect(cosignatures(note, [])).toEqual([]);
    // To whom the witnesses are unknown, the checkpoint is what it was.
    expect(openCheckpoint(note, [keyOf(signer)])).toEqual(openCheckpoint(notes[7]!, [keyOf(signer)]));
  });

  test('of one witness count once, the newest', () => {
    const note = notes[7]! + line(one, 5) + line(one, 9) + line(one, 7);
    expect(cosignatures(note, [keyOfWitness(one)])).toEqual([{ key: keyOfWitness(one), timestamp: 9 }]);
  });

  test('that do not fit spoil the note', () => {
    const key = keyOfWitness(one);
    const id = Buffer.from(key.id);
    const raw = (bytes: Uint8Array): string => `— ${one.name} ${Buffer.concat([id, bytes]).toString('base64')}\n`;
    const good = cosign(text, one, 5).signature;
    const later = Uint8Array.from(good);
    later[7] = 6;
    const endless = Buffer.concat([
      Buffer.alloc(8, 0x7f),
      one.signer.sign(Buffer.from(`cosignature/v1\ntime ${0x7f7f7f7f7f7f7f7fn}\n${text}`)),
    ]);
    const plain = one.signer.sign(Buffer.from(text));
    for (const bad of [
      line(one, 5, parseNote(notes[8]!).text),
      raw(later),
      raw(good.slice(0, 71)),
      raw(Buffer.concat([good, Buffer.of(0)])),
      raw(plain),
      raw(good.slice(0, 5)),
      raw(endless),
    ]) {
      expect(codeOf(() => cosignatures(notes[7]! + bad, [key]))).toBe('NOTE_SIGNATURE_INVALID');
      expect(codeOf(() => cosignatures(notes[7]! + line() + bad, [key]))).toBe('NOTE_SIGNATURE_INVALID');
      expect(cosignatures(notes[7]! + bad, [keyOfWitness(two)])).toEqual([]);
    }
  });
});

describe('add-checkpoint', () => {
  let witness: TestWitness;
  beforeAll(async () => {
    witness = new TestWitness('witness.example.com/w', 9, [keyOf(signer)]);
    await witness.listen();
  });
  afterAll(() => witness.close());
  beforeEach(() => {
    witness.seen.clear();
    witness.requests.length = 0;
    witness.answer = undefined;
    witness.now = () => Math.floor(Date.now() / 1000);
  });

  const add = (size: number, old: number, other: Partial<Transport> = {}): Promise<Answer> =>
    addCheckpoint(witness.witness, submission(size), old, { ...transport, ...other });

  test('sends what C2SP tlog-witness has it send, and gives a cosignature', async () => {
    const answer = await add(5, 0);
    expect(witness.requests).toEqual([{ path: 'POST /some/prefix/add-checkpoint', body: `old 0\n\n${notes[5]}` }]);
    expect(answer.kind).toBe('cosigned');
    const note = notes[5]! + (answer.kind === 'cosigned' ? formatSignature(answer.signature) : '');
    expect(cosignatures(note, [witness.witness.key])).toHaveLength(1);
    expect((await add(21, 5)).kind).toBe('cosigned');
    const proof = (await consistencyProof(nodes, 5, 21)).map((hash) => Buffer.from(hash).toString('base64'));
    expect(witness.requests[1]?.body).toBe(['old 5', ...proof, '', notes[21]].join('\n'));
    expect((await add(21, 21)).kind).toBe('cosigned');
  });

  test.each([
    [0, 0, 9],
    [5, 0, 9],
    [5, 3, 9],
    [9, 0, 9],
    [9, 5, 9],
    [1, 0, 40],
    [0, 4, 9],
  ])('is asked again from the size that it has: %i instead of %i, for %i', async (has, old, size) => {
    if (has > 0) await add(has, 0);
    witness.requests.length = 0;
    expect((await add(size, old)).kind).toBe('cosigned');
    expect(witness.requests.map(({ body }) => body.split('\n', 1)[0])).toEqual(
      has === old ? [`old ${old}`] : [`old ${old}`, `old ${has}`],
    );
  });

  test('says when it is ahead, and when it has seen another log', async () => {
    await add(20, 0);
    expect(await add(9, 0)).toEqual({ kind: 'ahead', size: 20 });
    expect(witness.requests).toHaveLength(2);
    for (const [has, size] of [
      [9, 9],
      [9, 12],
    ] as const) {
      witness.seen.set(origin, { size: has, root: new Uint8Array(32).fill(7) });
      expect(await add(size, 0)).toEqual({ kind: 'forked' });
      expect(await add(size, 9)).toEqual({ kind: 'forked' });
    }
  });

  const other = noteSigner(10, 'witness.example.com/w');
  const sign = (note: string, by = other): string =>
    formatSignature(cosign(parseNote(note).text, by, Math.floor(Date.now() / 1000)));
  test.each([
    ['a status that is none of its own', { status: 500 }, '500'],
    ['an unknown log', { status: 404 }, '404'],
    ['an unknown key', { status: 403 }, '403'],
    ['a bad request', { status: 400 }, '400'],
    ['a redirection', { status: 307 }, 'no answer'],
    ['nothing', { status: 200, body: '' }, 'not its cosignature'],
    ['something else', { status: 200, body: '<html>\n' }, 'not its cosignature'],
    ['a line that does not end', { status: 200, body: sign(notes[5]!).trimEnd() }, 'not its cosignature'],
    ['another key', { status: 200, body: sign(notes[5]!) }, 'not signed by its key'],
    ['another name', { status: 200, body: sign(notes[5]!, noteSigner(9, 'x')) }, 'not signed by its key'],
    ['an answer that is too long', { status: 200, body: `${'— a AAAAAAA=\n'.repeat(2000)}` }, 'no answer'],
    ['too many signatures', { status: 200, body: '— a AAAAAAA=\n'.repeat(101) }, 'not its cosignature'],
    ['a conflict without its size', { status: 409, body: '3\n' }, '(409)'],
    ['a conflict with no size', { status: 409, body: '03\n', type: 'text/x.tlog.size' }, '(409)'],
    ['a size that it does not keep', { status: 409, body: '3\n', type: 'text/x.tlog.size; charset=utf-8' }, '(409)'],
  ])('is refused: %s', async (_, reply, why) => {
    witness.answer = () => reply;
    const failed = add(5, 1).catch((error: unknown) => error as Error);
    expect(await failed).toMatchObject({ code: 'WITNESS_FAILED' });
    expect(((await failed) as Error).message).toContain(why);
    expect(witness.requests.length).toBeLessThanOrEqual(2);
  });

  test('is not asked again for a size that does not come as one', async () => {
    witness.answer = () => ({ status: 409, body: '3\n', type: 'text/plain' });
    expect(await rejection(add(5, 1))).toBe('WITNESS_FAILED');
    expect(witness.requests).toHaveLength(1);
  });

  test('is refused: the cosignature of another checkpoint, and a changed one', async () => {
    witness.answer = (reply) => ({ ...reply, body: witness.cosign(notes[6]!) });
    expect(await rejection(add(5, 0))).toBe('WITNESS_FAILED');
    witness.seen.clear();
    witness.answer = (reply) => {
      const [name, data] = String(reply.body).split(/ (?=[^ ]+$)/);
      const bytes = Buffer.from(String(data), 'base64');
      bytes[70]! ^= 1;
      return { ...reply, body: `${name} ${bytes.toString('base64')}\n` };
    };
    expect(await rejection(add(5, 0))).toBe('WITNESS_FAILED');
  });

  test('takes its own cosignature from among others', async () => {
    witness.answer = (reply) => ({ ...reply, body: sign(notes[5]!) + String(reply.body) });
    expect((await add(5, 0)).kind).toBe('cosigned');
  });

  test.each([-3600, 3600, 2 ** 40])('is refused: a clock that is %i seconds wrong', async (seconds) => {
    witness.now = () => Math.floor(Date.now() / 1000) + seconds;
    expect(await rejection(add(5, 0))).toBe('WITNESS_FAILED');
  });

  test('is refused: an answer that does not come, or does not end', async () => {
    witness.answer = () => new Promise(() => {});
    await expect(add(5, 0, { timeoutMs: 50 })).rejects.toThrow('in time');
    witness.answer = (_, __, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' }).write('— ');
      return new Promise(() => {});
    };
    await expect(add(5, 0, { timeoutMs: 50 })).rejects.toThrow('in time');
  });

  test('reads no more of an answer than it needs', async () => {
    let sent = 0;
    const closed = new Promise<void>((resolve) => {
      witness.answer = async (_, __, response) => {
        response.once('close', resolve);
        response.writeHead(200, { 'content-type': 'text/plain' });
        while (!response.destroyed && sent < 1e9) {
          sent += 65_536;
          response.write('a'.repeat(65_536));
          await turn();
        }
        return { status: 200 };
      };
    });
    expect(await rejection(add(5, 0))).toBe('WITNESS_FAILED');
    await closed;
    expect(sent).toBeLessThan(1e8);
  });

  test('is refused: nobody there', async () => {
    const gone = { ...witness.witness, url: 'http://127.0.0.1:9' };
    expect(await rejection(addCheckpoint(gone, submission(5), 0, transport))).toBe('WITNESS_FAILED');
  });

  test('what goes wrong with a proof is not the fault of the witness', async () => {
    const proof = (): Promise<never> => Promise.reject(new Error('the store is down'));
    await expect(addCheckpoint(witness.witness, { ...submission(5), proof }, 0, transport)).rejects.toThrow(
      'the store',
    );
  });
});

describe('a policy of witnesses', () => {
  const servers = [1, 2, 3].map((i) => new TestWitness(`witness.example.com/${i}`, 20 + i, [keyOf(signer)]));
  beforeAll(async () => {
    await Promise.all(servers.map((server) => server.listen()));
  });
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.close()));
  });
  const policy = (change: Partial<WitnessesOptions> = {}): Witnesses =>
    new Witnesses({ threshold: 2, witnesses: servers.map(({ witness }) => witness), now: Date.now, ...change });

  test('collects from all at once, and remembers what each has seen', async () => {
    const witnesses = policy();
    expect(witnesses.quorum(notes[5]!)).toBe(false);
    const { note, failures } = await witnesses.collect(submission(5));
    expect([witnesses.quorum(note), failures]).toEqual([true, []]);
    expect(parseNote(note).signatures.map(({ name }) => name)).toEqual([LOG, ...servers.map((one) => one.signer.name)]);
    await witnesses.collect(submission(9));
    expect(servers.map(({ requests }) => requests.map(({ body }) => body.split('\n', 1)[0]))).toEqual(
      servers.map(() => ['old 0', 'old 5']),
    );
    // A restart forgets it, and asks.
    expect(policy().quorum((await policy().collect(submission(12))).note)).toBe(true);
  });

  test('does without one that fails, and asks only those that are missing', async () => {
    const witnesses = policy();
    servers[1]!.answer = () => ({ status: 500 });
    const first = await witnesses.collect(submission(20));
    expect(witnesses.quorum(first.note)).toBe(true);
    expect(first.failures).toMatchObject([{ code: 'WITNESS_FAILED' }]);
    servers[2]!.answer = () => ({ status: 500 });
    const fewer = await witnesses.collect(submission(21));
    expect(witnesses.quorum(fewer.note)).toBe(false);
    for (const server of servers) server.answer = undefined;
    servers[0]!.requests.length = 0;
    const rest = await witnesses.collect({ ...submission(21), note: fewer.note });
    expect(parseNote(rest.note).signatures).toHaveLength(4);
    expect(servers[0]!.requests).toEqual([]);
  });

  test('asks again from the start for another log', async () => {
    const witnesses = policy();
    await witnesses.collect(submission(22));
    const epoch2 = formatOrigin({ log: LOG, tenantId: '_system', epoch: 2 });
    const { root } = openCheckpoint(notes[25]!, [keyOf(signer)]);
    const note = signCheckpoint({ origin: epoch2, size: 25, root }, [signer]);
    servers[0]!.requests.length = 0;
    const { note: cosigned } = await witnesses.collect({ ...submission(25), note });
    expect(witnesses.quorum(cosigned)).toBe(true);
    expect(servers[0]!.requests.map(({ body }) => body.split('\n', 1)[0])).toEqual(['old 0']);
  });

  test('is refused when it cannot be met, or a witness not be asked', () => {
    const [one, two] = servers.map(({ witness }) => witness);
    const code = (change: Partial<WitnessesOptions>): string => codeOf(() => policy(change));
    for (const threshold of [0, 4, 1.5, -1]) expect(code({ threshold })).toBe('WITNESS_POLICY_INVALID');
    const twice = { key: witnessKey('other.example.com', one!.key.publicKey), url: one!.url };
    expect(code({ witnesses: [one!, twice] })).toBe('WITNESS_POLICY_INVALID');
    const at = (url: string): string => code({ threshold: 1, witnesses: [{ ...two!, url }] });
    for (const url of ['https://witness.example.com/a', 'http://localhost:1', 'http://[::1]/', 'http://127.1.2.3']) {
      expect([url, at(url)]).toEqual([url, 'returned']);
    }
    for (const url of [
      '',
      'witness',
      'http://witness.example.com',
      'http://127.0.0.1.example.com',
      'https://a:b@witness.example.com',
      'https://witness.example.com/?a',
      'https://witness.example.com/#a',
      'file:///etc/passwd',
    ]) {
      expect([url, at(url)]).toEqual([url, 'WITNESS_POLICY_INVALID']);
    }
  });
});
