import { checkId } from '@minikms/key-hierarchy';
import * as proto from '@minikms/protocol';
import { ServerError } from '../errors.ts';
import {
  type AuditLog,
  exportLog,
  getAuditLogs,
  getCheckpoint,
  getConsistencyProof,
  getInclusionProof,
  getReceipt,
  verifyChain,
} from '../services/audit.ts';
import { Slots } from '../services/busy.ts';
import { SYSTEM } from './audit.ts';
import { SINGLE, type Table } from './methods.ts';
import type { Context } from './unary.ts';
import { encodeResponse } from './wire.ts';

export interface AuditServices {
  readonly auditLog: AuditLog;
}

interface OfTenant {
  readonly orgId: string;
}

/** How many exports, and how many verifications, run at once: in this process, and of one tenant. */
const MOST_AT_ONCE = 4;
const MOST_OF_TENANT = 2;

const MOST_ENTRIES = 1000;
const MOST_OFFSET = 100_000;
const MOST_TEXT = 256;

function checkTenant({ orgId }: OfTenant): void {
  if (orgId !== SYSTEM) checkId('org_id', orgId);
}

function checkNumber(field: string, value: bigint | number, least: number, most: number): void {
  if (value < least || value > most) throw new ServerError('FIELD_INVALID', `${field} must be ${least} to ${most}`);
}

const seqFacts = ({ seq }: { readonly seq: bigint }): string => `,"seq":${seq}`;

function checkSearch(request: proto.GetAuditLogsRequest): void {
  checkNumber('limit', request.limit, 0, MOST_ENTRIES);
  checkNumber('offset', request.offset, 0, MOST_OFFSET);
  checkNumber('before_seq', request.beforeSeq, 0, Number.MAX_SAFE_INTEGER);
  for (const [field, value] of [
    ['from_timestamp_us', request.fromTimestampUs],
    ['before_timestamp_us', request.beforeTimestampUs],
  ] as const)
    checkNumber(field, value ?? 0n, 0, Number.MAX_SAFE_INTEGER);
  for (const field of ['action', 'actorId'] as const)
    if (Buffer.byteLength(request[field]) > MOST_TEXT || request[field].includes('\0'))
      throw new ServerError(
        'FIELD_INVALID',
        `${field === 'action' ? field : 'actor_id'} must be at most ${MOST_TEXT} bytes without NUL`,
      );
}

function checkSeq({ seq }: { readonly seq: bigint }): void {
  checkNumber('seq', seq, 1, Number.MAX_SAFE_INTEGER);
}

export function auditMethods({ auditLog }: AuditServices): Table<typeof proto.AuditServiceService> {
  const exports = new Slots('exports', MOST_AT_ONCE, MOST_OF_TENANT);
  const verifications = new Slots('verifications', MOST_AT_ONCE, MOST_OF_TENANT);
  /** Before anything else of a call, also what refuses it: its entry would begin a log for whatever tenant it names. */
  const enter = async ({ orgId }: OfTenant, { event }: Context): Promise<void> => {
    event.withoutLog = orgId !== SYSTEM && (await auditLog.store.head(orgId)) === undefined;
  };
  const shared = {
    tenant: ({ orgId }: OfTenant) => orgId,
    scope: () => '',
    bounds: SINGLE,
    permissions: ['audit:read'],
    validate: checkTenant,
    facts: () => '',
  } as const;
  return {
    getAuditLogs: {
      ...shared,
      request: proto.GetAuditLogsRequest,
      encode: (response) => encodeResponse(proto.GetAuditLogsResponse, response),
      action: 'audit.read',
      facts: (_, response) => (response === undefined ? '' : `,"entries":${response.entries.length}`),
      async run(request, context) {
        await enter(request, context);
        checkSearch(request);
        return getAuditLogs(auditLog, request, context);
      },
    },
    verifyChain: {
      ...shared,
      request: proto.VerifyChainRequest,
      encode: (response) => encodeResponse(proto.VerifyChainResponse, response),
      action: 'audit.verify',
      facts: (_, response) =>
        response === undefined ? '' : `,"valid":${response.valid},"entries":${response.entriesChecked}`,
      async run(request, context) {
        await enter(request, context);
        const leave = verifications.take(request.orgId);
        try {
          return await verifyChain(auditLog, request, context);
        } finally {
          leave();
        }
      },
    },
    exportLog: {
      ...shared,
      request: proto.ExportLogRequest,
      encode: (response) => encodeResponse(proto.ExportLogResponse, response),
      action: 'audit.export',
      facts: ({ afterSeq }) => `,"after_seq":${afterSeq}`,
      async enter(request, context) {
        await enter(request, context);
        checkNumber('after_seq', request.afterSeq, 0, Number.MAX_SAFE_INTEGER);
        return exports.take(request.orgId);
      },
      stream: (request) => exportLog(auditLog, request),
    },
    getCheckpoint: {
      ...shared,
      request: proto.GetCheckpointRequest,
      encode: (response) => encodeResponse(proto.GetCheckpointResponse, response),
      action: 'audit.checkpoint',
      facts: (_, response) => (response === undefined ? '' : `,"size":${response.size}`),
      async run(request, context) {
        await enter(request, context);
        return getCheckpoint(auditLog, request);
      },
    },
    getInclusionProof: {
      ...shared,
      request: proto.GetInclusionProofRequest,
      encode: (response) => encodeResponse(proto.GetInclusionProofResponse, response),
      action: 'audit.prove',
      facts: seqFacts,
      async run(request, context) {
        await enter(request, context);
        checkSeq(request);
        return getInclusionProof(auditLog, request);
      },
    },
    getConsistencyProof: {
      ...shared,
      request: proto.GetConsistencyProofRequest,
      encode: (response) => encodeResponse(proto.GetConsistencyProofResponse, response),
      action: 'audit.prove',
      facts: ({ oldSize }) => `,"old_size":${oldSize}`,
      async run(request, context) {
        await enter(request, context);
        checkNumber('old_size', request.oldSize, 0, Number.MAX_SAFE_INTEGER);
        return getConsistencyProof(auditLog, request);
      },
    },
    getReceipt: {
      ...shared,
      request: proto.GetReceiptRequest,
      encode: (response) => encodeResponse(proto.GetReceiptResponse, response),
      action: 'audit.prove',
      facts: seqFacts,
      async run(request, context) {
        await enter(request, context);
        checkSeq(request);
        return getReceipt(auditLog, request);
      },
    },
  };
}
