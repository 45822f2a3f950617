import { equal } from '@minikms/crypto-core';
import type { Root } from './derive.ts';
import { HierarchyError } from './errors.ts';
import type { RootKeyRegistry } from './ports.ts';

/**
 * Makes sure that this root key and salt are the ones that the database was started with; records them at the first
 * start. To be called before anything is served.
 *
 * @throws HierarchyError `ROOT_KEY_MISMATCH`, `SALT_MISMATCH`, naming which; `ROOT_KEY_UNRECORDED` when wrapped rows
 *   exist and nothing says under which root key.
 */
export async function verifyRoot(registry: RootKeyRegistry, root: Root): Promise<void> {
  let { recorded, hasWrappedRows } = await registry.load();
  if (recorded === undefined) {
    if (hasWrappedRows) {
      throw new HierarchyError(
        'ROOT_KEY_UNRECORDED',
        'the database holds wrapped keys but no check value of their root key: restore the table root_keys',
      );
    }
    await registry.record(root.check);
    // Another server may have recorded first: what counts is what is stored.
    ({ recorded } = await registry.load());
  }
  if (recorded === undefined || !equal(recorded.rootKeyId, root.check.rootKeyId)) {
    throw new HierarchyError('ROOT_KEY_MISMATCH', 'this root key is not the one that the database was started with');
  }
  if (!equal(recorded.saltId, root.check.saltId)) {
    throw new HierarchyError('SALT_MISMATCH', 'this HKDF salt is not the one that the database was started with');
  }
}
