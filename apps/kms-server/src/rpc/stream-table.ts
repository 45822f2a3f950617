import type { Http2Server, Http2Session, ServerHttp2Session } from 'node:http2';

/** Twice as many as a connection may have open at once, so that hardly any two that are open share a slot. */
const SLOTS = 512;

/**
 * The open streams of a connection, by id: what node:http2 keeps in a `Map`. A Map of which entries come and go is copied
 * again and again, and V8 keeps a reference from each copy to the next. Once a copy has grown old, everything that the
 * later ones hold lives until the next full collection: with them every stream, request and answer of the connection, at
 * a fifth of the server's time. These slots are written over and never copied.
 */
export class StreamTable<Stream> extends Map<number, Stream> {
  readonly #ids = new Int32Array(SLOTS);
  readonly #streams: (Stream | undefined)[] = Array.from({ length: SLOTS }, () => undefined);
  #held = 0;

  override get size(): number {
    return this.#held + super.size;
  }

  override get(id: number): Stream | undefined {
    const slot = slotOf(id);
    return this.#ids[slot] === id && id !== 0 ? this.#streams[slot] : super.get(id);
  }

  override has(id: number): boolean {
    return (this.#ids[slotOf(id)] === id && id !== 0) || super.has(id);
  }

  override set(id: number, stream: Stream): this {
    const slot = slotOf(id);
    const holder = this.#ids[slot];
    // Never in both: a stream that found its slot taken stays where it is.
    if ((holder !== 0 && holder !== id) || super.has(id) || id === 0) return super.set(id, stream);
    if (holder === 0) this.#held++;
    this.#ids[slot] = id;
    this.#streams[slot] = stream;
    return this;
  }

  override delete(id: number): boolean {
    const slot = slotOf(id);
    if (id === 0 || this.#ids[slot] !== id) return super.delete(id);
    this.#ids[slot] = 0;
    this.#streams[slot] = undefined;
    this.#held--;
    return true;
  }

  override clear(): void {
    this.#ids.fill(0);
    this.#streams.fill(undefined);
    this.#held = 0;
    super.clear();
  }

  override *entries(): MapIterator<[number, Stream]> {
    for (let slot = 0; slot < SLOTS; slot++) {
      const id = this.#ids[slot] as number;
      if (id !== 0) yield [id, this.#streams[slot] as Stream];
    }
    yield* super.entries();
  }

  override *keys(): MapIterator<number> {
    for (const [id] of this.entries()) yield id;
  }

  override *values(): MapIterator<Stream> {
    for (const [, stream] of this.entries()) yield stream;
  }

  override [Symbol.iterator](): MapIterator<[number, Stream]> {
    return this.entries();
  }

  override forEach(visit: (stream: Stream, id: number, map: Map<number, Stream>) => void, self?: unknown): void {
    for (const [id, stream] of this.entries()) visit.call(self, stream, id, this);
  }
}

/** Streams of one side have every other id (RFC 9113 §5.1.1). */
function slotOf(id: number): number {
  return (id >>> 1) & (SLOTS - 1);
}

/**
 * Gives each new connection of a server a {@link StreamTable}. The place has no public name; where it is not found, the
 * connection keeps its Map, and is slower.
 */
export function useStreamTables(server: Http2Server): void {
  server.on('session', (session: ServerHttp2Session) => void useStreamTable(session));
}

/** False when the connection keeps its Map. */
export function useStreamTable(session: Http2Session): boolean {
  const symbol = Object.getOwnPropertySymbols(session).find(({ description }) => description === 'state');
  const state = symbol && (session as unknown as Record<symbol, { streams?: { size?: unknown } } | undefined>)[symbol];
  // Node's own Map has another prototype. One that holds something already stays.
  if (state?.streams?.size !== 0) return false;
  state.streams = new StreamTable<unknown>();
  return true;
}
