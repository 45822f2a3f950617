import { randomInt } from 'node:crypto';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { RedisAddress } from './address.ts';
import { encode, ErrorReply, parse, ProtocolError, type Reply } from './resp.ts';

/** What a command may answer; any other type of reply ends the connection. */
export type Kind = 'value' | 'status' | 'number' | 'list';
const FITS: Record<Kind, (reply: Reply) => boolean> = {
  value: (reply) => reply === null || Buffer.isBuffer(reply),
  status: (reply) => typeof reply === 'string',
  number: (reply) => typeof reply === 'number',
  list: (reply) => Array.isArray(reply),
};

export interface ConnectionOptions {
  readonly address: RedisAddress;
  /** A channel to listen to; the connection takes no commands then. */
  readonly channel?: string;
  /** Messages came: called once for any number that came together. */
  readonly onMessages?: () => void;
  readonly onReady: () => void;
  /** @param reason never holds text that Redis sent. */
  readonly onLost: (reason: string) => void;
}

interface Waiting {
  readonly kind: Kind;
  readonly sent: number;
  /** Absent once the caller has been told that it is a miss. */
  done: ((reply: Reply | undefined) => void) | undefined;
  timer?: NodeJS.Timeout;
}

const COMMAND_MS = 50;
const CONNECT_MS = 2000;
const STRIKES = 3;
const MAX_WAITING = 1024;
const MAX_UNSENT_BYTES = 1 << 20;
const RETRY_MS = { least: 1000, most: 5000 };
/** A connection that lived as long was good: the next pause is the shortest again. */
const GOOD_MS = 10_000;
const MESSAGES_PAUSE_MS = 20;
const MAX_MESSAGES = 500;
const KNOWN_CODES = new Set(['NOAUTH', 'WRONGPASS', 'NOPERM', 'LOADING', 'MASTERDOWN', 'DENIED', 'READONLY']);

/**
 * A connection to a Redis that is not trusted: it is dropped at the first thing out of order and opened again after a
 * pause of at least a second, in which every command is a miss at once. Nothing grows with what Redis sends or holds back.
 */
export class RedisConnection {
  readonly #options: ConnectionOptions;
  #socket: Socket | undefined;
  #ready = false;
  #readySince = 0;
  #received: Buffer = Buffer.alloc(0);
  #waiting: Waiting[] = [];
  /** Timeouts in a row, where commands that waited at the same time count as one. */
  #strikes = 0;
  #struck = 0;
  #retryMs = RETRY_MS.least;
  /** Ends connecting, or the pause before connecting again. */
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#open();
  }

  get ready(): boolean {
    return this.#ready;
  }

  /** Answers within 50 ms and never throws; `undefined` is any failure. */
  command(kind: Kind, ...parts: (string | Uint8Array)[]): Promise<Reply | undefined> {
    const socket = this.#socket;
    if (socket === undefined || !this.#ready) return Promise.resolve(undefined);
    if (this.#waiting.length >= MAX_WAITING || socket.writableLength > MAX_UNSENT_BYTES) {
      const oldest = this.#waiting[0]?.sent ?? Infinity;
      if (performance.now() - oldest > COMMAND_MS * STRIKES) this.#lost(socket, 'it does not answer');
      return Promise.resolve(undefined);
    }
    return new Promise((resolve) => {
      const waiting = this.#send(socket, kind, parts, resolve);
      // After a stall of this process the answer may be there, unread: it is read before the immediate runs.
      waiting.timer = setTimeout(() => setImmediate(() => this.#late(socket, waiting)), COMMAND_MS);
    });
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  #open(): void {
    const { tls } = this.#options.address;
    const socket = dial(this.#options.address);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost(socket, 'connecting took too long'), CONNECT_MS);
    socket.setNoDelay(true).setKeepAlive(true, 10_000);
    socket.once(tls ? 'secureConnect' : 'connect', () => this.#greet(socket));
    socket.on('data', (chunk: Buffer) => this.#receive(socket, chunk));
    // Stays after the connection was dropped: an error that nobody listens to would end the process.
    socket.on('error', (error: NodeJS.ErrnoException) => this.#lost(socket, error.code ?? 'the connection failed'));
    socket.on('end', () => this.#lost(socket, 'the connection was closed'));
    socket.on('close', () => this.#lost(socket, 'the connection was closed'));
  }

  #greet(socket: Socket): void {
    const { address, channel } = this.#options;
    const steps: [Kind, string, ...string[]][] = [];
    if (address.auth.length > 0) steps.push(['status', 'AUTH', ...address.auth]);
    if (address.database > 0) steps.push(['status', 'SELECT', String(address.database)]);
    // A Redis that accepts and does not answer is never ready.
    steps.push(['status', 'PING']);
    if (channel !== undefined) steps.push(['list', 'SUBSCRIBE', channel]);
    for (const [index, [kind, ...parts]] of steps.entries()) {
      this.#send(socket, kind, parts, (reply) => {
        if (socket !== this.#socket || reply === undefined) return;
        if (reply instanceof ErrorReply && !(parts[0] === 'PING' && reply.code === 'NOPERM')) {
          const code = KNOWN_CODES.has(reply.code) ? `: ${reply.code}` : '';
          this.#lost(socket, `it refused ${parts[0]}${code}`);
        } else if (index === steps.length - 1) {
          clearTimeout(this.#timer);
          this.#ready = true;
          this.#readySince = performance.now();
          this.#options.onReady();
        }
      });
    }
  }

  #send(socket: Socket, kind: Kind, parts: readonly (string | Uint8Array)[], done: Waiting['done']): Waiting {
    const waiting: Waiting = { kind, done, sent: performance.now() };
    this.#waiting.push(waiting);
    socket.write(encode(parts));
    return waiting;
  }

  #receive(socket: Socket, chunk: Buffer): void {
    if (socket !== this.#socket) return;
    const bytes = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    let at = 0;
    let messages = 0;
    try {
      for (let next = parse(bytes, at); next !== undefined; next = parse(bytes, at)) {
        at = next.end;
        if (this.#waiting.length > 0) this.#answer(next.reply);
        else if (this.#isMessage(next.reply) && messages < MAX_MESSAGES) messages++;
        else throw new ProtocolError('a reply that nobody asked for');
        if (socket !== this.#socket) return;
      }
    } catch (error) {
      return this.#lost(socket, error instanceof ProtocolError ? `it sent ${error.message}` : 'its reply failed');
    }
    // A copy: what is left of a large chunk must not keep all of it.
    this.#received = Buffer.from(bytes.subarray(at));
    if (messages === 0) return;
    // Redis sets the pace at which messages come; this server that at which it reads them.
    socket.pause();
    setTimeout(() => socket.resume(), MESSAGES_PAUSE_MS);
    this.#options.onMessages?.();
  }

  #answer(reply: Reply): void {
    const waiting = this.#waiting.shift() as Waiting;
    const isError = reply instanceof ErrorReply;
    const fits = isError || FITS[waiting.kind](reply);
    const { done } = waiting;
    clearTimeout(waiting.timer);
    waiting.done = undefined;
    if (done !== undefined) {
      if (fits) this.#strikes = 0;
      done(fits ? reply : undefined);
    }
    if (!fits) throw new ProtocolError('a reply of the wrong type');
  }

  #isMessage(reply: Reply): boolean {
    const { channel } = this.#options;
    if (channel === undefined || !Array.isArray(reply) || reply.length !== 3) return false;
    return String(reply[0]) === 'message' && String(reply[1]) === channel;
  }

  #late(socket: Socket, waiting: Waiting): void {
    if (waiting.done === undefined) return;
    waiting.done(undefined);
    waiting.done = undefined;
    if (socket !== this.#socket || waiting.sent < this.#struck) return;
    this.#struck = performance.now();
    if (++this.#strikes >= STRIKES) this.#lost(socket, 'it does not answer in time');
  }

  #lost(socket: Socket, reason: string): void {
    if (socket !== this.#socket || this.#closed) return;
    const good = this.#ready && performance.now() - this.#readySince >= GOOD_MS;
    this.#drop();
    if (good) this.#retryMs = RETRY_MS.least;
    // Not all servers at the same time.
    this.#timer = setTimeout(() => this.#open(), this.#retryMs + randomInt(this.#retryMs / 4));
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS.most);
    this.#options.onLost(reason);
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#ready = false;
    this.#received = Buffer.alloc(0);
    this.#strikes = 0;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const each of waiting) {
      clearTimeout(each.timer);
      each.done?.(undefined);
      each.done = undefined;
    }
  }
}

function dial({ tls, host, port }: RedisAddress): Socket {
  if (!tls) return connect(port, host);
  const socket = connectTls({ host, port, ...(isIP(host) === 0 && { servername: host }) });
  // Redis could ask for one handshake after the other.
  socket.disableRenegotiation();
  return socket;
}
