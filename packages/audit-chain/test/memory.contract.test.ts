import { entryLogContract, MemoryAuditStore, treeStoreContract } from '../src/testing.ts';

async function open(): Promise<{
  store: MemoryAuditStore;
  hold: (tenantId: string) => Promise<() => Promise<void>>;
  close: () => Promise<void>;
}> {
  const store = new MemoryAuditStore();
  return { store, hold: (tenantId) => store.hold(tenantId), close: async () => {} };
}

entryLogContract('MemoryAuditStore', open);
treeStoreContract('MemoryAuditStore', open);
