import type { KeyStore } from '@minikms/key-hierarchy';

/** The same store, which tells the other servers after each change that they have to hear of. */
export function hinting(store: KeyStore, hint: () => void): KeyStore {
  return {
    lease: (scope, wanted) => store.lease(scope, wanted),
    createFirst: (first, wanted) => store.createFirst(first, wanted),
    findCurrent: (scope) => store.findCurrent(scope),
    findVersion: (scope, id) => store.findVersion(scope, id),
    recordUses: (uses) => store.recordUses(uses),
    succeed: async (currentId, successor) => {
      const done = await store.succeed(currentId, successor);
      if (done) hint();
      return done;
    },
  };
}
