export { byteCacheContract } from './testing/byte-cache-contract.ts';
export { changeEntryContract } from './testing/change-entry-contract.ts';
export { keyStoreContract } from './testing/key-store-contract.ts';
export { MemoryByteCache } from './testing/memory-byte-cache.ts';
export { MemoryStore } from './testing/memory.ts';
export { serverKeyStoreContract } from './testing/server-key-store-contract.ts';
