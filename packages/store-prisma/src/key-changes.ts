import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ChangeEntry,
  checkChangeEntry,
  type Creation,
  type KeyVersionRow,
  type NewKeyVersion,
  type Succession,
  type Written,
} from '@minikms/key-hierarchy';
import type { Head } from '@minikms/audit-chain';
import type { Pool } from 'pg';
import { StoreError } from './failure.ts';
import { keyVersionRow, type StoredKeyVersion } from './key-row.ts';
import * as sql from './key-statements.ts';
import { run } from './statement.ts';

/** How long it is tried to find out what became of a change, in milliseconds. */
const SETTLE_MS = 2_500;
const PAUSE_MS = 100;

/** Where changes are made, and who hears of the end of a log that one of them wrote to. */
export interface Changing {
  readonly pool: Pool;
  readonly onAppend: ((entry: ChangeEntry, head: Head) => void) | undefined;
}

/** Stores a first version, and its entry, in one statement. */
export function createFirst(
  changing: Changing,
  first: NewKeyVersion,
  wanted: number,
  entry: ChangeEntry | undefined,
): Promise<Creation | undefined> {
  const once = (): Promise<Creation | undefined> => insertFirst(changing, first, wanted, entry);
  return settle(once, async () => {
    const made = await once();
    if (made !== undefined) return made;
    const row = await stored(changing.pool, first);
    if (row === undefined) return undefined;
    return { row, granted: Math.min(wanted, first.maxEncryptions), written: await find(changing.pool, entry) };
  });
}

/** Replaces the current version, and writes the change log and the entry, in one statement. */
export function succeed(
  changing: Changing,
  currentId: string,
  successor: NewKeyVersion,
  entry: ChangeEntry | undefined,
): Promise<Succession> {
  const once = (): Promise<Succession> => replace(changing, currentId, successor, entry);
  return settle(once, async () => {
    const done = await once();
    if (done.replaced || (await stored(changing.pool, successor)) === undefined) return done;
    return { replaced: true, written: await find(changing.pool, entry) };
  });
}

/**
 * Makes a change once and, when its connection was lost so that nobody knows whether it was committed, `again`: the same
 * statement, which changes nothing if the first did, and then a look whether what it was to store is there. A look alone
 * would not do: the lost statement may still be waiting for a lock. The second one waits behind it.
 */
async function settle<T>(once: () => Promise<T>, again: () => Promise<T>): Promise<T> {
  try {
    return await once();
  } catch (error) {
    if (!isLost(error)) throw error;
  }
  for (const end = performance.now() + SETTLE_MS; ;) {
    await sleep(PAUSE_MS);
    try {
      return await again();
    } catch (error) {
      if (!isUnavailable(error) || performance.now() > end) throw error;
    }
  }
}

function isUnavailable(error: unknown): error is StoreError {
  return error instanceof StoreError && error.code === 'STORE_UNAVAILABLE';
}

/** True when a connection was lost under a statement, which may have been committed; not when it was never sent. */
function isLost(error: unknown): boolean {
  if (!isUnavailable(error) || !(error.cause instanceof Error)) return false;
  const { message, code, syscall } = error.cause as NodeJS.ErrnoException;
  if (syscall !== undefined) return syscall !== 'connect' && syscall !== 'getaddrinfo';
  // The server's last words, or those of a proxy. 57014 (out of time) is not among them: that was rolled back.
  return (
    /^(08...|57P0[12])$/.test(code ?? '') || /^(Connection terminated unexpectedly|Query read timeout)$/.test(message)
  );
}

async function insertFirst(
  changing: Changing,
  first: NewKeyVersion,
  wanted: number,
  entry: ChangeEntry | undefined,
): Promise<Creation | undefined> {
  if (first.version !== 1) throw new Error(`the first version of a scope is 1, not ${first.version}`);
  const [made] = await run<StoredKeyVersion & { granted: string; appended?: string }>(
    changing.pool,
    entry === undefined ? sql.FIRST : sql.FIRST_WITH_ENTRY,
    [...given(first), wanted, ...fields(entry)],
  );
  return (
    made && {
      row: keyVersionRow(made),
      granted: Number(made.granted),
      written: appended(changing, entry, made.appended),
    }
  );
}

async function replace(
  changing: Changing,
  currentId: string,
  successor: NewKeyVersion,
  entry: ChangeEntry | undefined,
): Promise<Succession> {
  const [current] = await run<{ version: number; replaced: boolean; appended?: string | null }>(
    changing.pool,
    entry === undefined ? sql.SUCCEED : sql.SUCCEED_WITH_ENTRY,
    [...given(successor), currentId, ...fields(entry)],
  );
  if (current === undefined) return { replaced: false, written: undefined };
  if (successor.version !== current.version + 1) {
    throw new Error(`the successor of version ${current.version} is not version ${successor.version}`);
  }
  return { replaced: current.replaced, written: appended(changing, entry, current.appended) };
}

async function stored(pool: Pool, key: NewKeyVersion): Promise<KeyVersionRow | undefined> {
  const values = [key.tenantId, key.scopeId, key.id];
  const [row] = await run<StoredKeyVersion | { readonly id: null }>(pool, sql.FIND_VERSION, values);
  return row === undefined || row.id === null ? undefined : keyVersionRow(row);
}

async function find(pool: Pool, entry: ChangeEntry | undefined): Promise<Written | undefined> {
  if (entry === undefined) return undefined;
  const [found] = await run<{ seq: string }>(pool, sql.FIND_ENTRY, fields(entry));
  return written(entry, found?.seq);
}

/** What minikms_audit_append returned: first, last, hash, epoch. */
const APPENDED = /^\((\d+),(\d+),"?\\+x([0-9a-f]{64})"?,(\d+)\)$/;

function appended(
  { onAppend }: Changing,
  entry: ChangeEntry | undefined,
  row: string | null | undefined,
): Written | undefined {
  if (entry === undefined || !row) return undefined;
  const [, first, last, hash, epoch] = APPENDED.exec(row) ?? [];
  if (first === undefined || hash === undefined) throw new Error('minikms_audit_append returned something else');
  onAppend?.(entry, { seq: Number(last), hash: Buffer.from(hash, 'hex'), epoch: Number(epoch) });
  return written(entry, first);
}

function written(entry: ChangeEntry | undefined, seq: string | null | undefined): Written | undefined {
  return entry && seq ? { tenantId: entry.tenantId, seq: Number(seq) } : undefined;
}

/** $1–$9 of the inserting statements. */
function given(key: NewKeyVersion): unknown[] {
  return [
    key.tenantId,
    key.scopeId,
    key.id,
    key.version,
    key.wrappedDek,
    key.rootKeyId,
    key.saltId,
    key.tenantKeyGeneration,
    key.maxEncryptions,
  ];
}

/** The six parameters of an entry, or none. */
function fields(entry: ChangeEntry | undefined): unknown[] {
  if (entry === undefined) return [];
  checkChangeEntry(entry);
  const { tenantId, timestampUs, action, actorId, details, requestJwtHash } = entry;
  return [tenantId, timestampUs, action, actorId, details, requestJwtHash];
}
