import type { Logger } from 'pino';
import type { Principal } from './identify.ts';
import type { Failure } from './status.ts';

/** What is known of a call, filled in as it goes. No plaintext, ciphertext, key or token. */
export interface CallEvent {
  readonly action: string;
  readonly requestId: string;
  principal: Principal | undefined;
  tenantId: string;
  scopeId: string;
}

/** Where calls are written down before they are answered. */
export interface Audit {
  /**
   * @param failure what the caller will be told; `undefined` for success.
   * @param details what only the operator sees of a failure.
   * @returns a promise when the answer has to wait for it; should it reject, nothing is revealed.
   */
  record(
    event: CallEvent,
    failure: Failure | undefined,
    details: { readonly error: unknown; readonly peer: string } | undefined,
  ): Promise<void> | undefined;
}

/** Writes calls to the server log: refusals and faults always, changes of keys at info, everything else at debug. */
export function logAudit(log: Logger): Audit {
  return {
    record(event, failure, details) {
      if (failure === undefined) {
        const level = event.action.startsWith('kms.key.') ? 'info' : 'debug';
        if (log.isLevelEnabled(level)) log[level](line(event), 'call');
      } else if (failure.code === 'INTERNAL' || failure.code === 'KEY_UNWRAP_FAILED') {
        log.error({ ...line(event), code: failure.code, peer: details?.peer, err: details?.error }, 'call failed');
      } else if (failure.code === 'STORE_UNAVAILABLE') {
        // An outage is in the log once; each call that it hits would be a flood.
        log.debug({ ...line(event), code: failure.code, peer: details?.peer }, 'call failed');
      } else {
        log.warn({ ...line(event), code: failure.code, peer: details?.peer }, 'call refused');
      }
      return undefined;
    },
  };
}

function line(event: CallEvent): object {
  const { action, requestId, tenantId, scopeId } = event;
  return {
    action,
    requestId,
    actor: event.principal?.id,
    tenantId: tenantId.slice(0, 128),
    scopeId: scopeId.slice(0, 128),
  };
}
