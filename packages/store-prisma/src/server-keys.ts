import type { ServerKeyRow, ServerKeyStore } from '@minikms/key-hierarchy';
import type { Pool } from 'pg';
import { run, type Statement } from './statement.ts';

/** $1 purpose. */
const LOAD: Statement = {
  name: 'minikms_server_key',
  text: `
    SELECT purpose, name, public_key AS "publicKey", wrapped_key AS "wrappedKey",
           root_key_id AS "rootKeyId", salt_id AS "saltId"
    FROM server_keys WHERE purpose = $1`,
};

/** $1 purpose, $2 name, $3 public key, $4 wrapped key, $5 root key id, $6 salt id. */
const CREATE: Statement = {
  name: 'minikms_new_server_key',
  text: `
    INSERT INTO server_keys (purpose, name, public_key, wrapped_key, root_key_id, salt_id)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING`,
};

/** The `server_keys` table: one row at most for each purpose. */
export function serverKeyStore(pool: Pool): ServerKeyStore {
  return { load: (purpose) => load(pool, purpose), create: (row) => create(pool, row) };
}

async function load(pool: Pool, purpose: string): Promise<ServerKeyRow | undefined> {
  const [row] = await run<ServerKeyRow>(pool, LOAD, [purpose]);
  // Copies: the driver's buffers are slices of larger ones.
  return (
    row && {
      purpose: row.purpose,
      name: row.name,
      publicKey: new Uint8Array(row.publicKey),
      wrappedKey: new Uint8Array(row.wrappedKey),
      rootKeyId: new Uint8Array(row.rootKeyId),
      saltId: new Uint8Array(row.saltId),
    }
  );
}

async function create(pool: Pool, row: ServerKeyRow): Promise<ServerKeyRow> {
  const { purpose, name, publicKey, wrappedKey, rootKeyId, saltId } = row;
  // Waits for one that is being stored elsewhere; the statement after it sees who won.
  await run(pool, CREATE, [purpose, name, publicKey, wrappedKey, rootKeyId, saltId]);
  const stored = await load(pool, purpose);
  if (stored === undefined) throw new Error(`the ${purpose} key was deleted while it was made`);
  return stored;
}
