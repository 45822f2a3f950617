import type { Metadata } from '@grpc/grpc-js';

/** Where an entry of the audit log stands; with it `audit.getReceipt` proves what it says. */
export interface AuditPosition {
  /** Whose log. */
  readonly orgId: string;
  readonly seq: bigint;
}

/** What the server said of the audit entry of a call: the log, `#` and seq. */
export function auditPosition(metadata: Metadata | undefined): AuditPosition | undefined {
  const text = metadata?.get('minikms-audit-position')[0];
  const match = typeof text === 'string' ? /^([^#]+)#([0-9]{1,16})$/.exec(text) : null;
  return match === null ? undefined : { orgId: match[1] as string, seq: BigInt(match[2] as string) };
}
