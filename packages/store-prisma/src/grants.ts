import { Client, escapeIdentifier } from 'pg';
import { target } from './connection.ts';
import { StoreError } from './failure.ts';

type Privilege = 'SELECT' | 'INSERT' | 'UPDATE' | 'DELETE';

/**
 * What the serving role may do, table by table, and nothing more: it can append to `kms_audit_log`, and neither change
 * nor take away what stands there, nor the trigger that guards it.
 */
export const TABLES: Readonly<Record<string, readonly Privilege[]>> = Object.freeze({
  // For `pendingMigrations`.
  _prisma_migrations: ['SELECT'],
  installation: ['SELECT', 'INSERT'],
  root_keys: ['SELECT', 'INSERT'],
  server_keys: ['SELECT', 'INSERT'],
  key_versions: ['SELECT', 'INSERT', 'UPDATE'],
  change_counter: ['SELECT', 'UPDATE'],
  change_log: ['SELECT', 'INSERT', 'DELETE'],
  kms_audit_log: ['SELECT', 'INSERT'],
  audit_heads: ['SELECT', 'INSERT', 'UPDATE'],
  audit_tree: ['SELECT', 'INSERT'],
  audit_checkpoints: ['SELECT', 'INSERT', 'UPDATE'],
  audit_schedule: ['SELECT', 'UPDATE'],
  // People can be forgotten.
  audit_subjects: ['SELECT', 'INSERT', 'DELETE'],
});

/** Functions that the serving role calls, with those that they call. */
export const FUNCTIONS: readonly string[] = Object.freeze(['minikms_audit_append', 'minikms_entry_hash', 'minikms_lp']);

/** The role that a `postgresql://` URL connects as, or the role of that name. */
export function roleOf(serving: string): string {
  if (!serving.includes('://')) return serving;
  const { user } = new Client(target(serving).config);
  if (user === undefined) throw new Error('the URL of the serving role names no user');
  return user;
}

/**
 * Gives the role what it needs to serve, and takes from it whatever else it may do to these tables, in one transaction.
 * Nothing when it is the role that migrates: that one owns the tables.
 *
 * Throws `STORE_MIGRATION_FAILED` when the role does not exist, or cannot be given a privilege.
 */
export async function grantServing(client: Client, schema: string, role: string): Promise<void> {
  const { rows } = await client.query<{ same: boolean }>(
    'SELECT rolname = current_user AS same FROM pg_roles WHERE rolname = $1',
    [role],
  );
  if (!rows[0]) throw new StoreError('STORE_MIGRATION_FAILED', 'the serving role does not exist: create it first');
  if (rows[0].same) return;
  try {
    await client.query('BEGIN');
    for (const statement of statements(schema, role)) await client.query(statement);
    if (await ownsSchema(client, schema)) await client.query(revokeCreate(schema, role));
    // Who does not own the schema cannot grant its use; PostgreSQL only warns.
    const { rows: usable } = await client.query<{ usable: boolean }>(
      `SELECT has_schema_privilege($1::name, $2::text, 'USAGE') AS usable`,
      [role, schema],
    );
    if (!usable[0]?.usable) throw new Error(`no USAGE on the schema ${schema}`);
    await client.query('COMMIT');
  } catch (cause) {
    await client.query('ROLLBACK');
    throw new StoreError(
      'STORE_MIGRATION_FAILED',
      'the serving role could not be given its privileges: migrate as the owner of the schema and of its tables',
      { cause },
    );
  }
}

/** Only who may act as the owner of the schema can take a privilege on it from others. */
async function ownsSchema(client: Client, schema: string): Promise<boolean> {
  const { rows } = await client.query<{ owned: boolean }>(
    `SELECT pg_has_role(current_user, nspowner, 'USAGE') AS owned FROM pg_namespace WHERE nspname = $1`,
    [schema],
  );
  return rows[0]?.owned === true;
}

/**
 * Whoever may create objects in the schema can put a function there that is called in place of one of PostgreSQL's or of
 * ours; before PostgreSQL 15 everybody may in `public`.
 */
function revokeCreate(schema: string, role: string): string {
  return `REVOKE CREATE ON SCHEMA ${escapeIdentifier(schema)} FROM PUBLIC, ${escapeIdentifier(role)}`;
}

function statements(schema: string, role: string): string[] {
  const to = escapeIdentifier(role);
  const within = escapeIdentifier(schema);
  return [
    `GRANT USAGE ON SCHEMA ${within} TO ${to}`,
    ...Object.entries(TABLES).flatMap(([table, privileges]) => [
      `REVOKE ALL ON ${within}.${escapeIdentifier(table)} FROM ${to}`,
      `GRANT ${privileges.join(', ')} ON ${within}.${escapeIdentifier(table)} TO ${to}`,
    ]),
    ...FUNCTIONS.map((name) => `GRANT EXECUTE ON FUNCTION ${within}.${escapeIdentifier(name)} TO ${to}`),
  ];
}
