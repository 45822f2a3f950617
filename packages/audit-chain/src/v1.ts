import { createHash } from 'node:crypto';
import { utf8 } from '@minikms/crypto-core';
import { AuditError } from './errors.ts';

/** What the Go service stored of an entry and hashed. It hashed neither org_id nor request_jwt_hash. */
export interface V1Row {
  /** 64 lower-case hexadecimal digits, as all hashes of the Go service. */
  readonly previousHash: string;
  readonly entryHash: string;
  /** Microseconds since 1970, in the years 1 to 9999. */
  readonly timestampUs: bigint;
  readonly action: string;
  readonly actorId: string;
  readonly details: string;
}

export interface V1Report<Row extends V1Row = V1Row> {
  /** One unbroken chain whose hashes are right. Read spec/audit-chain.md §8 for how little that shows. */
  readonly whole: boolean;
  /** The rows that can be reached from the beginning, each after its predecessor. */
  readonly ordered: readonly Row[];
  /** Rows whose contents do not give their hash. */
  readonly changed: readonly Row[];
  /** Groups of rows that follow the same row; the Go service made such forks itself when calls came together. */
  readonly forks: readonly (readonly Row[])[];
  /** Rows that do not lead back to the beginning: what came before them is missing or was changed. */
  readonly unreached: readonly Row[];
}

const GENESIS = '0'.repeat(64);
const YEAR_1 = -62_135_596_800_000_000n;
const YEAR_10000 = 253_402_300_800_000_000n;

/** Go's time.RFC3339Nano in UTC: no fraction when it is zero, no zeros at its end. */
function rfc3339Nano(timestampUs: bigint): string {
  if (timestampUs < YEAR_1 || timestampUs >= YEAR_10000) {
    throw new AuditError('ENTRY_INVALID', 'a timestamp of the Go service is in the years 1 to 9999');
  }
  const micros = ((timestampUs % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const seconds = new Date(Number((timestampUs - micros) / 1000n)).toISOString().slice(0, 19);
  const fraction = micros.toString().padStart(6, '0').replace(/0+$/, '');
  return `${seconds}${fraction === '' ? '' : `.${fraction}`}Z`;
}

/**
 * The hash of the Go service, in hexadecimal: SHA-256 over the fields one after another, so that text can move from one
 * field to the next and the hash stays.
 *
 * @throws AuditError `ENTRY_INVALID` for a timestamp that it cannot have stored; CryptoError `TEXT_INVALID`.
 */
export function v1EntryHash(row: Omit<V1Row, 'entryHash'>): string {
  const text = [row.previousHash, rfc3339Nano(row.timestampUs), row.action, row.actorId, row.details].join('');
  return createHash('sha256').update(utf8(text)).digest('hex');
}

/** Checks the rows of one tenant's log of the Go service, in any order. Holds all of them in memory. */
export function verifyV1<Row extends V1Row>(rows: readonly Row[]): V1Report<Row> {
  const following = new Map<string, Row[]>();
  for (const row of rows) {
    const others = following.get(row.previousHash);
    if (others === undefined) following.set(row.previousHash, [row]);
    else others.push(row);
  }
  const forks = [...following.values()].filter((group) => group.length > 1);
  const ordered: Row[] = [];
  const taken = new Set<string>();
  const follow = (hash: string): void => {
    // A row that is there twice has the same rows after it.
    if (taken.has(hash)) return;
    taken.add(hash);
    ordered.push(...(following.get(hash) ?? []).toSorted(byTime));
  };
  follow(GENESIS);
  for (let i = 0; i < ordered.length; i += 1) follow(ordered[i]!.entryHash);
  const reached = new Set(ordered);
  const changed = rows.filter((row) => !hashFits(row));
  const unreached = rows.filter((row) => !reached.has(row));
  const whole = changed.length === 0 && forks.length === 0 && unreached.length === 0;
  return { whole, ordered, changed, forks, unreached };
}

function byTime(a: V1Row, b: V1Row): number {
  return a.timestampUs < b.timestampUs ? -1 : a.timestampUs > b.timestampUs ? 1 : a.entryHash < b.entryHash ? -1 : 1;
}

function hashFits(row: V1Row): boolean {
  try {
    return v1EntryHash(row) === row.entryHash;
  } catch {
    return false;
  }
}
