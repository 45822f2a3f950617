export type { Change, ChangeLog } from './changes.ts';
export { StoreError, type StoreErrorCode } from './failure.ts';
export type { Installation, Mode } from './installation.ts';
export { migrate, pendingMigrations, type MigrateOptions } from './migrate.ts';
export { openStore, type Store, type StoreOptions } from './open.ts';
