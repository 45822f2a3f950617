import type { ByteCache } from '../ports.ts';

/** A byte cache in memory, for tests. */
export class MemoryByteCache implements ByteCache {
  readonly values: Map<string, { value: Uint8Array; expires: number }> = new Map();

  async get(name: string): Promise<Uint8Array | undefined> {
    const found = this.values.get(name);
    return found !== undefined && found.expires > Date.now() ? found.value : undefined;
  }

  async set(name: string, value: Uint8Array, ttlMs: number): Promise<void> {
    this.values.set(name, { value, expires: Date.now() + ttlMs });
  }

  async delete(name: string): Promise<void> {
    this.values.delete(name);
  }
}
