import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { equal } from '@minikms/crypto-core';
import {
  type NoteSigner,
  openCheckpoint,
  parseNote,
  parseReceipt,
  verifyConsistency,
  type VerifierKey,
  type Witness,
  witnessKey,
} from '../src/index.ts';
import { cosign } from '../src/cosignature.ts';
import { formatSignature } from '../src/note.ts';
import { noteSigner } from './cases.ts';

/** What an HTTP response has. */
export interface Reply {
  readonly status: number;
  readonly body?: string | undefined;
  readonly type?: string | undefined;
}

/** A witness that keeps to C2SP tlog-witness, unless it is told otherwise. */
export class TestWitness {
  readonly signer: NoteSigner;
  /** What came, as it came. */
  readonly requests: { readonly path: string; readonly body: string }[] = [];
  /** By origin, the checkpoint that it cosigned last. */
  readonly seen: Map<string, { readonly size: number; readonly root: Uint8Array }> = new Map();
  /** Seconds since 1970. */
  now: () => number = () => Math.floor(Date.now() / 1000);
  /** Once it listens. */
  close: () => Promise<void> = async () => {};
  /** In place of what it would answer. */
  answer: ((reply: Reply, body: string, response: ServerResponse) => Reply | Promise<Reply>) | undefined;
  readonly #keys: readonly VerifierKey[];
  #url = '';

  constructor(name: string, seed: number, keys: readonly VerifierKey[]) {
    this.signer = noteSigner(seed, name);
    this.#keys = keys;
  }

  get witness(): Witness {
    return { key: witnessKey(this.signer.name, this.signer.signer.publicKey), url: this.#url };
  }

  async listen(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    this.#url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/some/prefix/`;
    this.close = async () => {
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    };
  }

  /** Its signature line for a checkpoint, whatever that is. */
  cosign(note: string): string {
    return formatSignature(cosign(parseNote(note).text, this.signer, this.now()));
  }

  /** C2SP tlog-witness, add-checkpoint. */
  reply(body: string): Reply {
    const split = body.indexOf('\n\n');
    const note = body.slice(split + 2);
    // The proof has the form that it has in a receipt.
    const [line = '', ...hashes] = body.slice(0, split).split('\n');
    const { proof } = parseReceipt(['c2sp.org/tlog-proof@v1', 'index 0', ...hashes, '', note].join('\n'));
    const old = /^old (0|[1-9][0-9]*)$/.exec(line)?.[1];
    if (old === undefined) return { status: 400 };
    const [origin = ''] = note.split('\n', 1);
    const log = origin.split('/').slice(0, -2).join('/');
    if (!this.#keys.some(({ name }) => name === log)) return { status: 404 };
    let checkpoint;
    try {
      checkpoint = openCheckpoint(note, this.#keys);
    } catch {
      return { status: 403 };
    }
    const { size, root } = checkpoint;
    if (Number(old) > size) return { status: 400 };
    const last = this.seen.get(origin);
    if (Number(old) !== (last?.size ?? 0)) {
      return { status: 409, body: `${last?.size ?? 0}\n`, type: 'text/x.tlog.size' };
    }
    if (last !== undefined && last.size === size && !equal(last.root, root)) return { status: 409 };
    if (Number(old) === 0 ? proof.length > 0 : !verifyConsistency(Number(old), size, last!.root, root, proof)) {
      return { status: 422 };
    }
    this.seen.set(origin, { size, root });
    return { status: 200, body: this.cosign(note) };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    const body = Buffer.concat(chunks).toString('utf8');
    this.requests.push({ path: `${request.method} ${request.url}`, body });
    const reply = this.reply(body);
    const { status, body: text = '', type = 'text/plain' } = (await this.answer?.(reply, body, response)) ?? reply;
    if (response.headersSent) response.destroy();
    else response.writeHead(status, { 'content-type': type }).end(text);
  }
}
