export { byteCacheContract } from './testing/byte-cache-contract.ts';
export { keyStoreContract } from './testing/key-store-contract.ts';
export { MemoryByteCache, MemoryStore } from './testing/memory.ts';
