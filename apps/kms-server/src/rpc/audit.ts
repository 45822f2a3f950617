import type { Appender, KnownSubject, NewEntry, Position, Refusals, Subject, SubjectCache } from '@minikms/audit-chain';
import { type ChangeEntry, checkId, type KeyChange, type Written } from '@minikms/key-hierarchy';
import type { CallLog } from './call-log.ts';
import type { Principal } from './identify.ts';
import type { Failure } from './status.ts';

/** What is known of a call, filled in as it goes. No plaintext, ciphertext, key or token. */
export interface CallEvent {
  readonly action: string;
  readonly requestId: string;
  principal: Principal | undefined;
  /** As the request has them: before it is validated they may be anything. */
  tenantId: string;
  scopeId: string;
  /** The key version that a ciphertext named, 16 bytes. */
  keyVersionId: Uint8Array | undefined;
  /** Sizes, counts and ids as members of a JSON object, each with a comma before it. */
  facts: string;
  /** Where the call was made from, such as `192.0.2.7:53311`. */
  readonly peer: () => string;
  /** Where its entry stands, once it is written. */
  position: Position | Written | undefined;
  /** What its entries name the peer by: of all that are written for it, whatever the cache forgets meanwhile. */
  peerSubject?: KnownSubject;
  /** The tenant that it names has no log, which asking for it shall not begin: its entry goes to `_system`. */
  withoutLog?: boolean;
}

/** Where calls are written down before they are answered. */
export interface Audit {
  /**
   * @param failure what the caller will be told; `undefined` for success.
   * @param error what only the operator sees of a failure.
   * @returns a promise when the answer has to wait for it; should it reject, nothing is revealed.
   */
  record(event: CallEvent, failure: Failure | undefined, error: unknown): Promise<void> | undefined;
}

/** The log of what belongs to no tenant. */
export const SYSTEM = '_system';

const NO_TOKEN = new Uint8Array(0);
const NO_SUBJECTS: readonly Subject[] = [];

export interface AuditTrailOptions {
  readonly appender: Pick<Appender, 'append'>;
  readonly refusals: Pick<Refusals, 'add'>;
  readonly subjects: SubjectCache;
  /** Stores what an entry names that was written without it. */
  readonly storeSubjects: (subjects: readonly Subject[]) => Promise<unknown>;
  readonly callLog: CallLog;
  /** Microseconds since 1970. */
  readonly nowUs: () => number;
}

/** Writes an entry for every call: to the log of its tenant, and to `_system` while no tenant is established. */
export class AuditTrail implements Audit {
  readonly #options: AuditTrailOptions;

  constructor(options: AuditTrailOptions) {
    this.#options = options;
  }

  record(event: CallEvent, failure: Failure | undefined, error: unknown): Promise<void> | undefined {
    const { appender, callLog, nowUs, refusals } = this.#options;
    callLog(event, failure, error);
    // A change of keys has been written down in its own transaction.
    if (event.position !== undefined && failure === undefined) return this.#namePeer(event);
    if (event.principal === undefined) {
      const code = failure?.code ?? 'UNAUTHENTICATED';
      refusals.add({ action: event.action, code, source: addressOf(event.peer()), atUs: nowUs() });
      return undefined;
    }
    const tenantId = logOf(event, failure);
    const peer = this.#peer(event, tenantId);
    const details = detailsOf(event, failure?.code ?? 'OK', peer?.subject.id);
    const entry = this.#entry(event, tenantId, event.action, details);
    const unstored = peer === undefined || peer.stored ? NO_SUBJECTS : [peer.subject];
    return appender.append(entry, unstored).then((position) => {
      event.position = position;
      if (peer !== undefined) peer.stored = true;
    });
  }

  /** The entry of a change of keys, written in the change's transaction: `cause` is the call that asked for it. */
  readonly changeEntry = (change: KeyChange, cause: unknown): ChangeEntry => {
    const action = `kms.key.${change.kind}`;
    const made = `,"key_version":"${change.keyVersionId}","version":${change.version}${
      change.oldKeyVersionId === undefined ? '' : `,"replaces":"${change.oldKeyVersionId}"`
    }${change.automatic ? ',"automatic":true' : ''}`;
    if (cause === undefined) {
      const about = `"tenant":${JSON.stringify(change.tenantId)},"scope":${JSON.stringify(change.scopeId)}`;
      return this.systemEntry(action, `{"outcome":"OK",${about}${made}}`);
    }
    const event = cause as CallEvent;
    const peer = this.#peer(event, change.tenantId);
    const details = detailsOf({ ...event, facts: made }, 'OK', peer?.subject.id);
    return this.#entry(event, change.tenantId, action, details);
  };

  /** An entry of what the server does by itself. */
  systemEntry(action: string, details: string): NewEntry {
    const timestampUs = this.#options.nowUs();
    return { tenantId: SYSTEM, timestampUs, action, actorId: SYSTEM, details, requestJwtHash: NO_TOKEN };
  }

  #entry({ principal }: CallEvent, tenantId: string, action: string, details: string): NewEntry {
    return {
      tenantId,
      timestampUs: this.#options.nowUs(),
      action,
      actorId: principal?.id ?? '',
      details,
      requestJwtHash: principal?.tokenSha256 ?? NO_TOKEN,
    };
  }

  /** A change's entry goes without the subject that it names. What was changed is answered whether or not that is stored. */
  #namePeer(event: CallEvent): Promise<void> | undefined {
    const peer = this.#peer(event, event.tenantId);
    if (peer === undefined || peer.stored) return undefined;
    return this.#options.storeSubjects([peer.subject]).then(
      () => void (peer.stored = true),
      () => {},
    );
  }

  #peer(event: CallEvent, tenantId: string): KnownSubject | undefined {
    if (event.peerSubject?.subject.tenantId === tenantId) return event.peerSubject;
    const address = addressOf(event.peer());
    if (address === '') return undefined;
    const peer = this.#options.subjects.of(tenantId, 'peer', address);
    event.peerSubject = peer;
    return peer;
  }
}

function logOf(event: CallEvent, failure: Failure | undefined): string {
  if (event.withoutLog === true) return SYSTEM;
  // What succeeded has been validated.
  return failure === undefined ? event.tenantId || SYSTEM : establishedTenant(event);
}

/** A refused call grows a tenant's log only when it names one. */
function establishedTenant({ tenantId }: CallEvent): string {
  try {
    checkId('tenant_id', tenantId);
    return tenantId;
  } catch {
    return SYSTEM;
  }
}

function detailsOf(event: CallEvent, outcome: string, peer: string | undefined): string {
  const { facts, requestId, scopeId } = event;
  // Only what passed the rule of ids needs no quoting; a text that did not may be anything.
  const scope = scopeId === '' ? '' : `,"scope":${JSON.stringify(scopeId.slice(0, 128).toWellFormed())}`;
  const tenant = event.withoutLog === true ? `,"tenant":${JSON.stringify(event.tenantId)}` : '';
  const from = peer === undefined ? '' : `,"peer":"${peer}"`;
  return `{"outcome":"${outcome}"${tenant}${scope}${facts},"request":"${requestId}"${from}}`;
}

/** Without the port, which tells nothing about who it was. */
function addressOf(peer: string): string {
  const at = peer.lastIndexOf(':');
  return /:[0-9]+$/.test(peer) && at > 0 ? peer.slice(0, at) : peer === 'unknown' ? '' : peer;
}
