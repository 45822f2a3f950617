import type { KeyStore } from '@minikms/key-hierarchy';

/** The same store, which tells the other servers after each change that they have to hear of. */
export function hinting(store: KeyStore, hint: () => void): KeyStore {
  return {
    lease: (scope, wanted) => store.lease(scope, wanted),
    createFirst: (first, wanted, entry) => store.createFirst(first, wanted, entry),
    findCurrent: (scope) => store.findCurrent(scope),
    findVersion: (scope, id) => store.findVersion(scope, id),
    recordUses: (uses) => store.recordUses(uses),
    succeed: async (currentId, successor, entry) => {
      const succession = await store.succeed(currentId, successor, entry);
      if (succession.replaced) hint();
      return succession;
    },
  };
}
