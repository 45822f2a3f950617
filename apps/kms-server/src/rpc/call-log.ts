import type { Logger } from 'pino';
import type { CallEvent } from './audit.ts';
import type { Failure } from './status.ts';

/** Tells the operator of a call: `failure` is what the caller is told, `error` what is behind it. */
export type CallLog = (event: CallEvent, failure: Failure | undefined, error: unknown) => void;

/** Lines a second of one sort: what strangers cause must not fill a disk, nor hide what callers cause. */
const LINES_A_SECOND = 20;

/**
 * Writes calls to the server log: refusals and faults, changes of keys at info, everything else at debug. Of refusals of
 * strangers, of other refusals and of faults there are so many lines a second; then one that counts the others by code.
 */
export function callLog(log: Logger): CallLog {
  const strangers = new Quota((leftOut) => log.warn({ leftOut }, 'more calls refused'));
  const refusals = new Quota((leftOut) => log.warn({ leftOut }, 'more calls refused'));
  const faults = new Quota((leftOut) => log.error({ leftOut }, 'more calls failed'));
  return (event, failure, error) => {
    if (failure === undefined) {
      const level = event.action.startsWith('kms.key.') ? 'info' : 'debug';
      if (log.isLevelEnabled(level)) log[level](line(event), 'call');
    } else if (failure.code === 'INTERNAL' || failure.code === 'KEY_UNWRAP_FAILED') {
      if (faults.admits(failure.code))
        log.error({ ...line(event), code: failure.code, peer: event.peer(), err: error }, 'call failed');
    } else if (failure.code === 'STORE_UNAVAILABLE') {
      // An outage is in the log once; each call that it hits would be a flood.
      log.debug({ ...line(event), code: failure.code, peer: event.peer() }, 'call failed');
    } else if ((failure.code === 'UNAUTHENTICATED' ? strangers : refusals).admits(failure.code)) {
      log.warn({ ...line(event), code: failure.code, peer: event.peer() }, 'call refused');
    }
  };
}

/** Lines of one sort in a second that begins with the first of them. */
class Quota {
  readonly #tell: (leftOut: Readonly<Record<string, number>>) => void;
  #left = LINES_A_SECOND;
  #leftOut: Record<string, number> = {};
  #ticking = false;

  constructor(tell: (leftOut: Readonly<Record<string, number>>) => void) {
    this.#tell = tell;
  }

  admits(code: string): boolean {
    if (!this.#ticking) setTimeout(() => this.#renew(), 1000).unref();
    this.#ticking = true;
    if (this.#left > 0) {
      this.#left--;
      return true;
    }
    this.#leftOut[code] = (this.#leftOut[code] ?? 0) + 1;
    return false;
  }

  #renew(): void {
    const leftOut = this.#leftOut;
    this.#ticking = false;
    this.#left = LINES_A_SECOND;
    this.#leftOut = {};
    for (const _ in leftOut) return this.#tell(leftOut);
  }
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
