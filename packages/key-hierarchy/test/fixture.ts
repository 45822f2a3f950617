import { parseSealed, utf8, uuidFromBytes } from '@minikms/crypto-core';
import {
  type AutoRotation,
  type ByteCache,
  type ChangeClock,
  Keyring,
  type KeyringOptions,
  type KeyStore,
  type NewKeyVersion,
  RowCache,
  type Scope,
  serverKey,
} from '../src/index.ts';
import { MemoryStore } from '../src/testing.ts';
import { rootOf } from './cases.ts';

export const scope: Scope = { tenantId: 'acme', scopeId: 'payments' };

export const scopeNumber = (i: number): Scope => ({ tenantId: `tenant-${i}`, scopeId: 'payments' });

/** After this, whatever was to be destroyed at the end of the turn is destroyed. */
export async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** A memory store that also tells which versions were made, and can fail at one method alone. */
export class TestStore extends MemoryStore {
  readonly made: NewKeyVersion[] = [];
  failing: keyof KeyStore | undefined;

  override async createFirst(...args: Parameters<KeyStore['createFirst']>): ReturnType<KeyStore['createFirst']> {
    const [first] = args;
    const lease = await super.createFirst(...args);
    if (lease !== undefined) this.made.push(first);
    return lease;
  }

  override async succeed(...args: Parameters<KeyStore['succeed']>): ReturnType<KeyStore['succeed']> {
    if (this.failing === 'succeed') throw Object.assign(new Error('succeed fails'), { code: 'STORE_UNAVAILABLE' });
    const [, successor] = args;
    const succession = await super.succeed(...args);
    if (succession.replaced) this.made.push(successor);
    return succession;
  }

  override async recordUses(...args: Parameters<KeyStore['recordUses']>): Promise<void> {
    if (this.failing === 'recordUses') throw Object.assign(new Error('fails'), { code: 'STORE_UNAVAILABLE' });
    return super.recordUses(...args);
  }

  count(method: string): number {
    return this.calls.filter((call) => call === method).length;
  }
}

/** One server's view of a store's changes: it learns of them when it polls. */
export class Poller implements ChangeClock {
  isFresh = true;
  readonly #store: TestStore;
  readonly #changed = new Map<string, number>();
  #seen = 0;

  constructor(store: TestStore) {
    this.#store = store;
    this.poll();
  }

  poll(): void {
    while (this.#seen < this.#store.made.length) {
      const { tenantId, scopeId } = this.#store.made[this.#seen++]!;
      this.#changed.set(`${tenantId} ${scopeId}`, this.#seen);
    }
  }

  position(): number {
    return this.#seen;
  }

  fresh(): boolean {
    return this.isFresh;
  }

  changedSince(changed: Scope, position: number): boolean {
    return (this.#changed.get(`${changed.tenantId} ${changed.scopeId}`) ?? 0) > position;
  }
}

/** A store that keeps back its answers to `method`, when the work is done, until they are released. */
export function holding(store: KeyStore, method: keyof KeyStore) {
  let gate: Promise<void> | undefined;
  let open = (): void => {};
  const held = {
    waiting: 0,
    store: new Proxy(store, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (name !== method) return value.bind(target) as unknown;
        return async (...args: unknown[]): Promise<unknown> => {
          const answer: unknown = await Reflect.apply(value, target, args);
          if (gate !== undefined) {
            held.waiting++;
            await gate;
          }
          return answer;
        };
      },
    }),
    hold(): void {
      gate = new Promise((resolve) => (open = resolve));
    },
    release(): void {
      gate = undefined;
      open();
    },
  };
  return held;
}

export type Overrides = Partial<Omit<KeyringOptions, 'rows'>> & { readonly bytes?: ByteCache };

/** A keyring as a server makes it, with a clock that only moves when told. */
export function server(store: MemoryStore, { bytes, ...options }: Overrides = {}) {
  const root = options.root ?? rootOf();
  const time = { ms: 0 };
  const rotations: AutoRotation[] = [];
  const keyring = new Keyring({
    root,
    store,
    changes: store,
    rows: bytes && new RowCache(bytes, serverKey(root, 'row-cache-mac'), Date.now),
    maxEncryptions: 1_000_000,
    cacheSize: 100,
    cacheTtlMs: 60_000,
    now: () => time.ms,
    onAutoRotation: (event) => rotations.push(event),
    ...options,
  });
  return { keyring, time, rotations };
}

const TEXT = utf8('4111 1111 1111 1111');

export async function seal(keyring: Keyring, where: Scope = scope): Promise<Buffer> {
  const { key } = await keyring.encryptor(where, 1);
  return key.seal(TEXT, 'aad');
}

/** Seals while the key is warm. @throws Error when it is not. */
export function sealNow(keyring: Keyring, where: Scope = scope): Buffer {
  const encryptor = keyring.encryptor(where, 1);
  if (encryptor instanceof Promise) {
    encryptor.catch(() => {});
    throw new Error('not warm');
  }
  return encryptor.key.seal(TEXT, 'aad');
}

/** Seals `count` items as a batch does: as many as are granted, then asks again. */
export async function sealMany(keyring: Keyring, count: number, where: Scope = scope): Promise<Buffer[]> {
  const blobs: Buffer[] = [];
  while (blobs.length < count) {
    const { key, granted } = await keyring.encryptor(where, count - blobs.length);
    for (let i = 0; i < granted; i++) blobs.push(key.seal(TEXT, 'aad'));
  }
  return blobs;
}

export async function opens(keyring: Keyring, blob: Buffer, where: Scope = scope): Promise<boolean> {
  const key = await keyring.decryptor(where, parseSealed(blob).keyVersionId);
  return key.open(blob, 'aad').equals(TEXT);
}

export const versionOf = (blob: Buffer): string => uuidFromBytes(parseSealed(blob).keyVersionId);

/** How many blobs each key version sealed. */
export function tally(blobs: readonly Buffer[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const blob of blobs) counts.set(versionOf(blob), (counts.get(versionOf(blob)) ?? 0) + 1);
  return counts;
}

/** `count` results of `work`, all under way at once. */
export function parallel<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => work(index)));
}
