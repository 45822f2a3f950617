import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type AuditEntry, encodeLine } from '@minikms/audit-chain';
import type { Fields } from '@minikms/client';
import * as proto from '@minikms/protocol';
import pg from 'pg';

/** An answer of either sort with what came after it. */
export interface Answer<T> {
  readonly response: T | undefined;
  /** `minikms-code`; `''` of a success. */
  readonly code: string;
  readonly grpcStatus: number;
  readonly requestId: string;
  /** `minikms-audit-position`. */
  readonly position: string;
}

interface Rpc<Req, Res> {
  readonly path: string;
  readonly requestSerialize: (request: Req) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Res;
  readonly fromPartial: (fields: never) => Req;
}

function rpc<Req, Res>(
  method: Omit<Rpc<Req, Res>, 'fromPartial'>,
  message: { fromPartial(fields: never): Req },
): Rpc<Req, Res> {
  const { path, requestSerialize, responseDeserialize } = method;
  return { path, requestSerialize, responseDeserialize, fromPartial: (fields) => message.fromPartial(fields) };
}

const { AuditServiceService: audit, KMSServiceService: kms } = proto;
const RPCS = {
  encrypt: rpc(kms.encrypt, proto.EncryptRequest),
  decrypt: rpc(kms.decrypt, proto.DecryptRequest),
  batchEncrypt: rpc(kms.batchEncrypt, proto.BatchEncryptRequest),
  batchDecrypt: rpc(kms.batchDecrypt, proto.BatchDecryptRequest),
  createDataKey: rpc(kms.createDataKey, proto.CreateDataKeyRequest),
  rotateDataKey: rpc(kms.rotateDataKey, proto.RotateDataKeyRequest),
  reEncrypt: rpc(kms.reEncrypt, proto.ReEncryptRequest),
  getKeyInfo: rpc(kms.getKeyInfo, proto.GetKeyInfoRequest),
  getAuditLogs: rpc(audit.getAuditLogs, proto.GetAuditLogsRequest),
  verifyChain: rpc(audit.verifyChain, proto.VerifyChainRequest),
  getCheckpoint: rpc(audit.getCheckpoint, proto.GetCheckpointRequest),
  getInclusionProof: rpc(audit.getInclusionProof, proto.GetInclusionProofRequest),
  getConsistencyProof: rpc(audit.getConsistencyProof, proto.GetConsistencyProofRequest),
  getReceipt: rpc(audit.getReceipt, proto.GetReceiptRequest),
};
type Rpcs = typeof RPCS;
type Unary = {
  readonly [M in keyof Rpcs]: Rpcs[M] extends Rpc<infer Req, infer Res>
    ? (fields: Fields<Req>) => Promise<Answer<Res>>
    : never;
};

export interface Caller extends Unary {
  /** The text of an export, or what arrived of it before it failed. */
  exportLog(fields: Fields<proto.ExportLogRequest>): Promise<Answer<string>>;
  /** Any bytes to a method, such as `KMSService/Encrypt`. */
  raw(method: string, request: Buffer): Promise<Answer<Buffer>>;
  close(): void;
}

/** Every RPC of the server on a connection of its own; no answer throws. */
export function caller(port: number, token?: string): Caller {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': 64 * 1024 * 1024,
  });
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('authorization', `Bearer ${token}`);
  const deadline = (): { deadline: number } => ({ deadline: Date.now() + 60_000 });
  const unary = <Res>(path: string, bytes: Buffer, read: (bytes: Buffer) => Res): Promise<Answer<Res>> =>
    new Promise((resolve) => {
      let response: Res | undefined;
      const same = (value: Buffer): Buffer => value;
      const call = client.makeUnaryRequest(path, same, read, bytes, metadata.clone(), deadline(), (_, value) => {
        response = value;
      });
      call.on('status', (ended) => resolve(answerOf(response, ended)));
    });
  const methods = Object.fromEntries(
    Object.entries(RPCS).map(([name, method]) => [
      name,
      (fields: never) => {
        const { path, requestSerialize, responseDeserialize } = method as Rpc<unknown, unknown>;
        return unary(path, requestSerialize(method.fromPartial(fields)), responseDeserialize);
      },
    ]),
  ) as unknown as Unary;
  return {
    ...methods,
    raw: (method, request) => unary(`/minikms.v1.${method}`, request, (bytes) => bytes),
    exportLog: (fields) =>
      new Promise((resolve) => {
        const { path, requestSerialize, responseDeserialize } = audit.exportLog;
        const request = proto.ExportLogRequest.fromPartial(fields as object);
        const parts: Buffer[] = [];
        const call = client.makeServerStreamRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          metadata.clone(),
          deadline(),
        );
        call.on('data', ({ lines }: proto.ExportLogResponse) => parts.push(lines));
        call.on('error', () => {});
        call.on('status', (ended) =>
          resolve(answerOf(parts.length === 0 ? undefined : Buffer.concat(parts).toString(), ended)),
        );
      }),
    close: () => client.close(),
  };
}

function answerOf<T>(response: T | undefined, { code, metadata }: Pick<ServiceError, 'code' | 'metadata'>): Answer<T> {
  const text = (name: string): string => metadata.get(name).join(',');
  return {
    response,
    code: text('minikms-code'),
    grpcStatus: code,
    requestId: text('minikms-request-id'),
    position: text('minikms-audit-position'),
  };
}

/** The response of a call that has to succeed. */
export async function ok<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { response, code, grpcStatus } = await answer;
  if (response === undefined || grpcStatus !== status.OK) throw new Error(`the call failed: ${grpcStatus} ${code}`);
  return response;
}

export interface Row extends AuditEntry {
  /** The tenant, `#` and seq. */
  readonly id: string;
  /** `details` as an object. */
  readonly told: Readonly<Record<string, unknown>>;
}

/** The database as its superuser has it. */
export interface Superuser {
  query(text: string, values?: unknown[]): Promise<pg.QueryResult>;
  /** Statements with the triggers of the log off, in one transaction. */
  tamper(text: string): Promise<void>;
  /** Entries by log and seq. */
  rows(tenantId?: string): Promise<Row[]>;
  /** A log as export lines, whatever the server says of it. */
  lines(tenantId: string): Promise<string>;
  end(): Promise<void>;
}

export async function superuser(url: string): Promise<Superuser> {
  const client = new pg.Client(url);
  // A database that is dropped ends its connections.
  client.on('error', () => {});
  await client.connect();
  const rows = async (tenantId?: string): Promise<Row[]> => {
    const found = await client.query<Record<string, string> & Record<'previous' | 'hash' | 'jwt', Buffer>>(
      `SELECT tenant_id, seq, timestamp_us, action, actor_id, details, previous_hash AS previous, entry_hash AS hash,
         request_jwt_hash AS jwt
       FROM kms_audit_log WHERE $1::text IS NULL OR tenant_id = $1 ORDER BY tenant_id, seq`,
      [tenantId],
    );
    return found.rows.map((row) => ({
      id: `${row['tenant_id']}#${row['seq']}`,
      told: parsed(row['details'] ?? ''),
      tenantId: row['tenant_id'] ?? '',
      seq: BigInt(row['seq'] ?? ''),
      timestampUs: BigInt(row['timestamp_us'] ?? ''),
      action: row['action'] ?? '',
      actorId: row['actor_id'] ?? '',
      details: row['details'] ?? '',
      requestJwtHash: row.jwt,
      previousHash: row.previous,
      entryHash: row.hash,
    }));
  };
  return {
    query: (text, values) => client.query(text, values),
    async tamper(text) {
      const off = 'ALTER TABLE kms_audit_log DISABLE TRIGGER append_only';
      const on = 'ALTER TABLE kms_audit_log ENABLE ALWAYS TRIGGER append_only';
      await client.query(`BEGIN; ${off}; ${text}; ${on}; COMMIT`);
    },
    rows,
    lines: async (tenantId) => (await rows(tenantId)).map((row) => `${encodeLine(row)}\n`).join(''),
    end: () => client.end(),
  };
}

function parsed(details: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(details) as Record<string, unknown>;
  } catch {
    return {};
  }
}

export interface Verdict {
  /** Of the auditor's command: 0 good, 1 bad, 2 wrong use, 3 unproven. */
  readonly code: number | null;
  readonly output: string;
}

const COMMAND = fileURLToPath(new URL('../../../packages/audit-chain/dist/bin/main.js', import.meta.url));

/** The auditor's desk: files, and the command that reads them. */
export interface Desk {
  /** Keeps a text, and says where. */
  keep(text: string): Promise<string>;
  /** `audit-chain verify` of an export. */
  verify(lines: string, key: string, checkpoints?: readonly string[]): Promise<Verdict>;
  /** `audit-chain verify-receipt`. */
  verifyReceipt(receipt: string, key: string): Promise<Verdict>;
  remove(): void;
}

export async function desk(): Promise<Desk> {
  const folder = await mkdtemp(join(tmpdir(), 'minikms-auditor-'));
  let files = 0;
  const keep = async (text: string): Promise<string> => {
    const path = join(folder, String(++files));
    await writeFile(path, text);
    return path;
  };
  return {
    keep,
    async verify(lines, key, checkpoints = []) {
      const kept = await Promise.all(checkpoints.map(async (note) => ['--checkpoint', await keep(note)]));
      return auditChain(['verify', await keep(lines), '--key', key, ...kept.flat()]);
    },
    verifyReceipt: async (receipt, key) => auditChain(['verify-receipt', await keep(receipt), '--key', key]),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function auditChain(args: readonly string[]): Promise<Verdict> {
  const child = spawn(process.execPath, [COMMAND, ...args], { env: {}, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}
