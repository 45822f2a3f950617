import {
  byteCacheContract,
  changeEntryContract,
  keyStoreContract,
  MemoryByteCache,
  MemoryStore,
  serverKeyStoreContract,
} from '../src/testing.ts';

keyStoreContract('MemoryStore', async () => {
  const store = new MemoryStore();
  return { keys: store, roots: store, close: async () => {} };
});

changeEntryContract('MemoryStore', async () => {
  const store = new MemoryStore();
  const entries = async (log: string) => store.entries.filter(({ tenantId }) => tenantId === log);
  return { keys: store, entries, close: async () => {} };
});

serverKeyStoreContract('MemoryStore', async () => {
  const store = new MemoryStore();
  return { serverKeys: store.serverKeys, roots: store, close: async () => {} };
});

byteCacheContract('MemoryByteCache', async () => new MemoryByteCache());
