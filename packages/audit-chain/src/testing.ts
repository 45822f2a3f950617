export { entryLogContract } from './testing/entry-log-contract.ts';
export { MemoryAuditStore } from './testing/memory.ts';
export type { Fate, StoreCall } from './testing/memory.ts';
export type { OpenedAuditStore } from './testing/opened.ts';
export { treeStoreContract } from './testing/tree-store-contract.ts';
