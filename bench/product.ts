// What the bench measures without a server around it: the packages as they were built, as `main.js` of the server is.
export {
  type AuditEntry,
  Checkpointer,
  encodeCheckpointLine,
  encodeLine,
  entryHash,
  formatOrigin,
  type Head,
  leafHash,
  MemoryKnownCheckpoints,
  type NewEntry,
  signCheckpoint,
  TreeFrontier,
  verifierKey,
  verifyExport,
} from '../packages/audit-chain/dist/index.js';
export { migrate, openStore, type Store } from '../packages/store-prisma/dist/index.js';
