import * as proto from '@minikms/protocol';
import type { Calls, CallSettings, Fields } from './calls.ts';

interface KmsRequests {
  readonly encrypt: typeof proto.EncryptRequest;
  readonly decrypt: typeof proto.DecryptRequest;
  readonly batchEncrypt: typeof proto.BatchEncryptRequest;
  readonly batchDecrypt: typeof proto.BatchDecryptRequest;
  readonly createDataKey: typeof proto.CreateDataKeyRequest;
  readonly rotateDataKey: typeof proto.RotateDataKeyRequest;
  readonly reEncrypt: typeof proto.ReEncryptRequest;
  readonly getKeyInfo: typeof proto.GetKeyInfoRequest;
}

export const KMS_REQUESTS: KmsRequests = {
  encrypt: proto.EncryptRequest,
  decrypt: proto.DecryptRequest,
  batchEncrypt: proto.BatchEncryptRequest,
  batchDecrypt: proto.BatchDecryptRequest,
  createDataKey: proto.CreateDataKeyRequest,
  rotateDataKey: proto.RotateDataKeyRequest,
  reEncrypt: proto.ReEncryptRequest,
  getKeyInfo: proto.GetKeyInfoRequest,
};

/** Every RPC of KMSService. */
export type KmsCalls = Calls<typeof proto.KMSServiceService, KmsRequests>;

type AuditUnary = Omit<typeof proto.AuditServiceService, 'exportLog'>;

interface AuditRequests {
  readonly getAuditLogs: typeof proto.GetAuditLogsRequest;
  readonly verifyChain: typeof proto.VerifyChainRequest;
  readonly getCheckpoint: typeof proto.GetCheckpointRequest;
  readonly getInclusionProof: typeof proto.GetInclusionProofRequest;
  readonly getConsistencyProof: typeof proto.GetConsistencyProofRequest;
  readonly getReceipt: typeof proto.GetReceiptRequest;
}

const { exportLog: _exportLog, ...unary } = proto.AuditServiceService;

/** What of AuditService answers with one message. */
export const AUDIT_SERVICE: AuditUnary = unary;

export const AUDIT_REQUESTS: AuditRequests = {
  getAuditLogs: proto.GetAuditLogsRequest,
  verifyChain: proto.VerifyChainRequest,
  getCheckpoint: proto.GetCheckpointRequest,
  getInclusionProof: proto.GetInclusionProofRequest,
  getConsistencyProof: proto.GetConsistencyProofRequest,
  getReceipt: proto.GetReceiptRequest,
};

/** Every RPC of AuditService. */
export interface AuditCalls extends Calls<AuditUnary, AuditRequests> {
  /**
   * The log as an export (spec/audit-chain.md §6), whole lines at a time, for a file that the auditor's command reads. Not
   * bounded in time unless `deadlineMs` is given; leaving the loop cancels it. Throws `MiniKmsError`.
   */
  exportLog(request: Fields<proto.ExportLogRequest>, settings?: CallSettings): AsyncIterable<Uint8Array>;
}
