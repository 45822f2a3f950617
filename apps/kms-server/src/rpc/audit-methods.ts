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
import { SYSTEM } from './audit.ts';
import { SINGLE, type Table } from './methods.ts';
import { encodeResponse } from './wire.ts';

export interface AuditServices {
  readonly auditLog: AuditLog;
}

interface OfTenant {
  readonly orgId: string;
}

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

export function auditMethods({ auditLog }: AuditServices): Table<typeof proto.AuditServiceService> {
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
      validate(request) {
        checkTenant(request);
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
      },
      facts: (_, response) => (response === undefined ? '' : `,"entries":${response.entries.length}`),
      run: (request) => getAuditLogs(auditLog, request),
    },
    verifyChain: {
      ...shared,
      request: proto.VerifyChainRequest,
      encode: (response) => encodeResponse(proto.VerifyChainResponse, response),
      action: 'audit.verify',
      facts: (_, response) =>
        response === undefined ? '' : `,"valid":${response.valid},"entries":${response.entriesChecked}`,
      run: (request, context) => verifyChain(auditLog, request, context),
    },
    exportLog: {
      ...shared,
      request: proto.ExportLogRequest,
      encode: (response) => encodeResponse(proto.ExportLogResponse, response),
      action: 'audit.export',
      validate(request) {
        checkTenant(request);
        checkNumber('after_seq', request.afterSeq, 0, Number.MAX_SAFE_INTEGER);
      },
      facts: ({ afterSeq }) => `,"after_seq":${afterSeq}`,
      stream: (request) => exportLog(auditLog, request),
    },
    getCheckpoint: {
      ...shared,
      request: proto.GetCheckpointRequest,
      encode: (response) => encodeResponse(proto.GetCheckpointResponse, response),
      action: 'audit.checkpoint',
      facts: (_, response) => (response === undefined ? '' : `,"size":${response.size}`),
      run: (request) => getCheckpoint(auditLog, request),
    },
    getInclusionProof: {
      ...shared,
      request: proto.GetInclusionProofRequest,
      encode: (response) => encodeResponse(proto.GetInclusionProofResponse, response),
      action: 'audit.prove',
      validate(request) {
        checkTenant(request);
        checkNumber('seq', request.seq, 1, Number.MAX_SAFE_INTEGER);
      },
      facts: seqFacts,
      run: (request) => getInclusionProof(auditLog, request),
    },
    getConsistencyProof: {
      ...shared,
      request: proto.GetConsistencyProofRequest,
      encode: (response) => encodeResponse(proto.GetConsistencyProofResponse, response),
      action: 'audit.prove',
      validate(request) {
        checkTenant(request);
        checkNumber('old_size', request.oldSize, 0, Number.MAX_SAFE_INTEGER);
      },
      facts: ({ oldSize }) => `,"old_size":${oldSize}`,
      run: (request) => getConsistencyProof(auditLog, request),
    },
    getReceipt: {
      ...shared,
      request: proto.GetReceiptRequest,
      encode: (response) => encodeResponse(proto.GetReceiptResponse, response),
      action: 'audit.prove',
      validate(request) {
        checkTenant(request);
        checkNumber('seq', request.seq, 1, Number.MAX_SAFE_INTEGER);
      },
      facts: seqFacts,
      run: (request) => getReceipt(auditLog, request),
    },
  };
}
