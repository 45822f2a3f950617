import type { Batch, EntryWriter, Head, NewEntry, Outcome, Subject } from '@minikms/audit-chain';
import { DatabaseError, type Pool } from 'pg';
import { bigints, byteas, integers, texts } from './array-parameter.ts';
import * as sql from './audit-statements.ts';
import { run, type Statement } from './statement.ts';

/** A head as the driver reads it. */
export interface StoredHead {
  readonly seq: string;
  readonly hash: Uint8Array;
  readonly epoch: number;
}

type LeftOut = { readonly at: number } & (StoredHead | { readonly seq: null });

/** The head as the port has it. Copies the bytes: the driver's buffers are slices of larger ones. */
export function headOf({ seq, hash, epoch }: StoredHead): Head {
  return { seq: Number(seq), hash: new Uint8Array(hash), epoch };
}

/** Entries into `kms_audit_log`: those that wait for nobody over `pool`, those that wait for a log over `waiting`. */
export function entryWriter(pool: Pool, waiting: Pool): EntryWriter {
  return {
    append: (batches, subjects) => append(pool, batches, subjects),
    appendInTurn: (entries, subjects) => appendInTurn(waiting, entries, subjects),
  };
}

async function append(
  pool: Pool,
  batches: readonly Batch[],
  subjects: readonly Subject[],
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = batches.map(() => true);
  const numbers = [...batches.keys()];
  const following = numbers.filter((number) => batches[number]!.after.seq > 0);
  const beginning = numbers.filter((number) => batches[number]!.after.seq === 0);
  const send = async (statement: Statement, group: readonly number[], named: readonly Subject[]): Promise<void> => {
    const sent = group.map((number) => batches[number]!);
    for (const left of await run<LeftOut>(pool, statement, [...batchColumns(sent), ...subjectColumns(named)])) {
      const number = group[left.at - 1]!;
      outcomes[number] = outcomeOf(left, batches[number]!);
    }
  };
  const begin = async (named: readonly Subject[]): Promise<void> => {
    try {
      await send(sql.BEGIN_LOGS, beginning, named);
    } catch (error) {
      if (!isLockTimeout(error)) throw error;
      // Nothing of it took effect: each of these goes in turn, where it holds up nobody.
      for (const number of beginning) outcomes[number] = 'busy';
      if (named.length > 0) await send(sql.APPEND, [], named);
    }
  };
  const sends: Promise<void>[] = [];
  if (beginning.length > 0) sends.push(begin(following.length > 0 ? [] : subjects));
  if (following.length > 0 || (subjects.length > 0 && sends.length === 0)) {
    sends.push(send(sql.APPEND, following, subjects));
  }
  // Both are over before one is thrown: what is on disk by then is all that will be, unless a connection was lost.
  for (const settled of await Promise.allSettled(sends)) if (settled.status === 'rejected') throw settled.reason;
  return outcomes;
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === '55P03';
}

/** Why a batch was left out, by its log's head as it was when the statement began. */
function outcomeOf(left: LeftOut, { after }: Batch): Outcome {
  // A log that has no head: it is begun at this moment, or the batch follows an entry that is not there.
  if (left.seq === null) return after.seq === 0 ? 'busy' : { seq: 0, hash: new Uint8Array(32), epoch: 1 };
  const head = headOf(left);
  const same = head.seq === after.seq && head.epoch === after.epoch && Buffer.compare(head.hash, after.hash) === 0;
  return same ? 'busy' : head;
}

async function appendInTurn(
  pool: Pool,
  entries: readonly NewEntry[],
  subjects: readonly Subject[],
): Promise<{ readonly first: number; readonly head: Head }> {
  const values = [...entryColumns(entries), ...subjectColumns(subjects)];
  const [appended] = await run<StoredHead & { first: string }>(pool, sql.APPEND_IN_TURN, values);
  if (!appended) throw new Error('minikms_audit_append returned no row');
  return { first: Number(appended.first), head: headOf(appended) };
}

/** $1–$15 of the statements for batches. */
function batchColumns(batches: readonly Batch[]): Buffer[] {
  const entries = batches.flatMap((batch) => batch.entries);
  const hashes = batches.flatMap((batch) => batch.hashes);
  const numbers: number[] = [];
  const seqs: number[] = [];
  const previous: Uint8Array[] = [];
  for (const [index, { after, hashes: own }] of batches.entries()) {
    for (const at of own.keys()) {
      numbers.push(index + 1);
      seqs.push(after.seq + at + 1);
      previous.push(at === 0 ? after.hash : own[at - 1]!);
    }
  }
  return [
    texts(batches.map((batch) => batch.tenantId)),
    bigints(batches.map((batch) => batch.after.seq)),
    byteas(batches.map((batch) => batch.after.hash)),
    integers(batches.map((batch) => batch.after.epoch)),
    bigints(batches.map((batch) => batch.after.seq + batch.entries.length)),
    byteas(batches.map((batch) => batch.hashes.at(-1)!)),
    integers(numbers),
    bigints(seqs),
    ...fieldColumns(entries),
    byteas(previous),
    byteas(hashes),
  ];
}

/** $1–$6 of the statements that leave the place and the hashes to the database. */
export function entryColumns(entries: readonly NewEntry[]): (Buffer | string)[] {
  const [first] = entries;
  if (!first) throw new RangeError('there is no entry to append');
  return [first.tenantId, ...fieldColumns(entries)];
}

function fieldColumns(entries: readonly NewEntry[]): Buffer[] {
  return [
    bigints(entries.map((entry) => entry.timestampUs)),
    texts(entries.map((entry) => entry.action)),
    texts(entries.map((entry) => entry.actorId)),
    texts(entries.map((entry) => entry.details)),
    byteas(entries.map((entry) => entry.requestJwtHash)),
  ];
}

function subjectColumns(subjects: readonly Subject[]): Buffer[] {
  return [
    texts(subjects.map((subject) => subject.id)),
    texts(subjects.map((subject) => subject.tenantId)),
    texts(subjects.map((subject) => subject.kind)),
    byteas(subjects.map((subject) => subject.salt)),
    texts(subjects.map((subject) => subject.label)),
  ];
}
