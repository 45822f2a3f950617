import { byteCacheContract, keyStoreContract, MemoryByteCache, MemoryStore } from '../src/testing.ts';

keyStoreContract('MemoryStore', async () => {
  const store = new MemoryStore();
  return { keys: store, roots: store, close: async () => {} };
});

byteCacheContract('MemoryByteCache', async () => new MemoryByteCache());
