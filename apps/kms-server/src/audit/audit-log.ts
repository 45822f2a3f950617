import {
  Appender,
  AuditError,
  Checkpointer,
  type Head,
  type NewEntry,
  type KnownCheckpoint,
  Refusals,
  type Subject,
  SubjectCache,
  verifierKey,
  Witnesses,
} from '@minikms/audit-chain';
import { KmsError, Signer } from '@minikms/crypto-core';
import { openServerKey, type Root } from '@minikms/key-hierarchy';
import type { Store } from '@minikms/store-prisma';
import type { Logger } from 'pino';
import type { AuditConfig } from '../config-audit.ts';
import { every } from '../every.ts';
import { AuditTrail, SYSTEM } from '../rpc/audit.ts';
import { callLog } from '../rpc/call-log.ts';
import type { AuditLog } from '../services/audit.ts';
import { eachOf, PublishedCheckpoints } from './published.ts';

export interface AuditLogOptions {
  readonly config: AuditConfig;
  readonly root: Root;
  readonly store: Pick<Store, 'audit' | 'serverKeys'>;
  readonly log: Logger;
  /** `ServerAudit.hasIncident` is another than before. */
  readonly onIncident: () => void;
}

/** The audit log of a server: what calls are written down with, and what AuditService reads. */
export interface ServerAudit extends AuditLog {
  readonly trail: AuditTrail;
  readonly published: PublishedCheckpoints;
  /** The name of the log, with which every origin begins. */
  readonly name: string;
  /** A log lost entries: all calls fail. */
  readonly hasIncident: boolean;
  /**
   * Compares every log of which a checkpoint is known with the database; to be done before serving.
   *
   * @throws AuditError `AUDIT_LOG_BEHIND`.
   */
  compare(): Promise<void>;
  /** Writes down what the server did by itself; rejects when that is not on disk. */
  system(action: string, facts: Readonly<Record<string, unknown>>): Promise<void>;
  /** Takes note of an entry that a transaction of the store appended, and where its log ends since. */
  appended(entry: NewEntry, head: Head): void;
  /** Begins to sign checkpoints at each interval. */
  start(): void;
  /** Writes what waits. */
  close(): Promise<void>;
}

/** What a server's audit log holds in connections for writing what others write too; `openStore` has as many. */
const IN_TURN = 3;
const SUBJECTS = 50_000;
/** Logs that are compared at once at the start. */
const COMPARED = 8;
const SECOND = 1000;

export async function openAudit({ config, root, store, log, onIncident }: AuditLogOptions): Promise<ServerAudit> {
  const { name, signer } = await signingKey(config, root, store);
  const problem = (tenantId: string, error: unknown): void =>
    log.warn({ tenantId, reason: error instanceof Error ? error.message : String(error) }, 'audit checkpoint');
  const published = new PublishedCheckpoints({
    key: verifierKey(name, signer.publicKey),
    directory: config.checkpointDir,
    url: config.checkpointUrl,
    onProblem: problem,
  });
  await published.load();
  const witnesses = config.witnesses && new Witnesses({ ...config.witnesses, now: Date.now });
  const appender = new Appender({
    store: store.audit,
    floor: (tenantId) => published.highest(tenantId),
    onIncident(incident) {
      log.error(incident, 'the audit log lost entries: all calls fail until `kms-server audit recover` was run');
      onIncident();
    },
    maxInTurn: IN_TURN,
  });
  const checkpointer = new Checkpointer({
    store: store.audit,
    log: name,
    signer: { name, signer },
    known: published,
    ...(witnesses && { witnesses }),
    onIncident: ({ tenantId, epoch, reason }) => appender.halt(tenantId, epoch, `is not to be trusted: ${reason}`),
    onProblem: problem,
  });
  const subjects = new SubjectCache(SUBJECTS);
  const refusals = new Refusals({ tenantId: SYSTEM, emit: (entry, named) => appender.append(entry, named), subjects });
  const nowUs = (): number => Date.now() * 1000;
  const storeSubjects = (named: readonly Subject[]): Promise<unknown> => store.audit.append([], named);
  const trail = new AuditTrail({ appender, refusals, subjects, storeSubjects, callLog: callLog(log), nowUs });
  const system = async (action: string, facts: Readonly<Record<string, unknown>>): Promise<void> => {
    await appender.append(trail.systemEntry(action, JSON.stringify({ outcome: 'OK', ...facts })));
  };
  const interval = async (): Promise<void> => {
    try {
      if (!(await store.audit.claimInterval(config.intervalMs))) return;
      await appender.append(trail.systemEntry('audit.interval', await checkpointer.interval()));
      await checkpointer.checkpoint(SYSTEM);
    } catch (error) {
      // An outage is told once, by the change feed; an incident by the appender.
      if (!isExpected(error)) problem(SYSTEM, error);
    }
  };
  /** Why a log is behind what was signed for, or `undefined`. What is known is older than the head that is read. */
  const behind = async (tenantId: string, { epoch, size }: KnownCheckpoint): Promise<string | undefined> => {
    const head = (await store.audit.head(tenantId)) ?? { epoch: 1, seq: 0 };
    if (head.epoch > epoch || (head.epoch === epoch && head.seq >= size)) return undefined;
    return `ends at entry ${head.seq} of epoch ${head.epoch}, and a checkpoint of ${size} entries of epoch ${epoch} is known`;
  };
  /** What other servers signed, as `PublishedCheckpoints` has it. One that waits for its witnesses is not published yet. */
  const learn = async (): Promise<void> => {
    try {
      const stored = await store.audit.checkpoint(SYSTEM);
      if (stored === undefined || (witnesses !== undefined && !witnesses.quorum(stored.note))) return;
      await published.learn(SYSTEM, stored.note);
    } catch (error) {
      if (!isExpected(error)) problem(SYSTEM, error);
    }
  };
  const watch = async (): Promise<void> => {
    await learn();
    try {
      const known = await published.highest(SYSTEM);
      // A server that writes nothing, or whose last entry the log was put back to, would not notice by itself.
      const reason = known && (await behind(SYSTEM, known));
      if (known !== undefined && reason !== undefined) appender.halt(SYSTEM, known.epoch, reason);
    } catch (error) {
      if (!isExpected(error)) problem(SYSTEM, error);
    }
  };
  const recheck = async (): Promise<void> => {
    const before = appender.incident;
    await appender.recheck().catch(() => log.debug('audit log not looked at'));
    if (before !== appender.incident) onIncident();
  };
  const jobs: { stop(): void }[] = [];
  return {
    store: store.audit,
    checkpointer,
    trail,
    published,
    name,
    system,
    appended: (entry, head) => appender.learn(entry, head),
    get hasIncident() {
      return appender.incident !== undefined;
    },
    async compare() {
      await learn();
      await eachOf(published.all(), COMPARED, async ({ tenantId, checkpoint }) => {
        const reason = await behind(tenantId, checkpoint);
        if (reason === undefined) return;
        const help = 'find out what became of the database, and see `kms-server audit recover`';
        throw new AuditError('AUDIT_LOG_BEHIND', `the audit log of tenant ${tenantId} ${reason}: ${help}`);
      });
    },
    start() {
      jobs.push(
        every(SECOND, () => refusals.flush()),
        every(SECOND, recheck),
        every(Math.min(config.intervalMs, 5 * SECOND), interval),
        // Not with the interval, which may take long.
        every(5 * SECOND, watch),
      );
    },
    async close() {
      for (const job of jobs) job.stop();
      await refusals.flush();
      await appender.close();
      await published.close();
      signer.destroy();
    },
  };
}

async function signingKey(
  config: AuditConfig,
  root: Root,
  { serverKeys }: Pick<Store, 'serverKeys'>,
): Promise<{ name: string; signer: Signer }> {
  const open = (name: string | undefined): ReturnType<typeof openServerKey<'audit-checkpoint'>> =>
    openServerKey({
      root,
      store: serverKeys,
      purpose: 'audit-checkpoint',
      name,
      publicKeyOf(secret) {
        const signer = Signer.fromSeed(secret);
        const { publicKey } = signer;
        signer.destroy();
        return publicKey;
      },
    });
  const key = await open(config.logName).catch((error: unknown) => {
    if (!(error instanceof KmsError && error.code === 'SERVER_KEY_MISSING')) throw error;
    // The same for every server of the installation.
    return open(`minikms-${Buffer.from(root.check.rootKeyId).toString('hex').slice(0, 16)}/audit`);
  });
  using secret = key.secret;
  return { name: key.name, signer: Signer.fromSeed(secret) };
}

function isExpected(error: unknown): boolean {
  return error instanceof KmsError && (error.code === 'STORE_UNAVAILABLE' || error.code === 'AUDIT_LOG_BEHIND');
}
