import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromHex, SecretBytes, Signer } from '@minikms/crypto-core';
import {
  type AuditEntry,
  encodeCheckpointLine,
  encodeLine,
  entryHash,
  formatOrigin,
  leafHash,
  type NoteSigner,
  signCheckpoint,
  TreeFrontier,
  verifierKey,
  type VerifierKey,
} from '../src/index.ts';

/** Hexadecimal in, bytes out: a short name for tables of cases. */
export const h: (hex: string) => Uint8Array = fromHex;

/** The code that `fn` throws, or `'returned'`. */
export function codeOf(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'returned';
}

/** The code that a promise is rejected with, or `'resolved'`. */
export async function rejection(promise: PromiseLike<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'resolved';
}

export const LOG = 'kms.example.com/audit';

export function noteSigner(byte: number, name: string = LOG): NoteSigner {
  return { name, signer: Signer.fromSeed(SecretBytes.take('signing-seed', new Uint8Array(32).fill(byte))) };
}

export function keyOf({ name, signer }: NoteSigner): VerifierKey {
  return verifierKey(name, signer.publicKey);
}

/** A log of so many entries; `change` is applied before hashing. */
export function makeLog(
  size: number,
  change: (entry: Omit<AuditEntry, 'entryHash'>) => Partial<AuditEntry> = () => ({}),
): AuditEntry[] {
  const log: AuditEntry[] = [];
  for (let i = 1; i <= size; i += 1) {
    const entry = {
      seq: BigInt(i),
      timestampUs: 1_767_225_600_000_000n + BigInt(i) * 137n,
      action: 'kms.encrypt',
      actorId: `m_${i % 7}`,
      details: `{"bytes":${i % 100},"outcome":"OK"}`,
      tenantId: 'acme',
      requestJwtHash: i % 2 === 0 ? new Uint8Array(0) : new Uint8Array(32).fill(i % 251),
      previousHash: log.at(-1)?.entryHash ?? new Uint8Array(32),
    };
    const changed = { ...entry, ...change(entry) };
    log.push({ ...changed, entryHash: entryHash(changed) });
  }
  return log;
}

export function treeOf(log: readonly AuditEntry[]): TreeFrontier {
  const tree = new TreeFrontier();
  for (const entry of log) tree.append(leafHash(entry.entryHash));
  return tree;
}

/** A signed checkpoint of the first `size` entries. */
export function checkpointOf(log: readonly AuditEntry[], signer: NoteSigner, size = log.length, epoch = 1): string {
  const origin = formatOrigin({ log: LOG, tenantId: 'acme', epoch });
  return signCheckpoint({ origin, size, root: treeOf(log.slice(0, size)).root() }, [signer]);
}

/** The text of an export: entries and, when given, a checkpoint. */
export function exportOf(log: readonly AuditEntry[], ...checkpoints: readonly string[]): string {
  return [...log.map(encodeLine), ...checkpoints.map(encodeCheckpointLine)].map((line) => `${line}\n`).join('');
}

export interface GoldenEntry {
  name: string;
  seq: string;
  timestamp_us: string;
  action: string;
  actor_id: string;
  details: string;
  details_repeated?: number;
  tenant_id: string;
  request_jwt_hash: string;
  previous_hash: string;
  hashed?: string;
  line?: string;
  line_sha256?: string;
  line_bytes?: number;
  entry_hash: string;
}

export interface GoldenExport {
  name: string;
  /** Numbers are entries of the log. */
  lines: (number | string)[];
  unended?: boolean;
  checkpoints: string[];
  verdict: string;
  code?: string;
  first?: number;
  last?: number;
  entries: number;
  covered: number;
}

export interface Golden {
  entries: GoldenEntry[];
  tree: {
    leaf_hashes: string[];
    roots: string[];
    inclusion: { index: number; size: number; proof: string[] }[];
    consistency: { older: number; newer: number; proof: string[] }[];
  };
  origin: string;
  signer: { name: string; seed: string; verifier_key: string };
  checkpoint: string;
  older_checkpoint: string;
  receipts: { index: number; size: number; receipt: string }[];
  bad_receipts: { name: string; receipt: string; expect: string }[];
  exports: GoldenExport[];
  bad_lines: { name: string; line: string }[];
}

/** spec/vectors/audit-chain.json, which every checkout has. */
export const golden: Golden = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/audit-chain.json', import.meta.url), 'utf8'),
) as Golden;

export function goldenText({ lines, unended }: GoldenExport): string {
  const texts = lines.map((line) => (typeof line === 'number' ? golden.entries[line - 1]!.line! : line));
  return texts.join('\n') + (texts.length === 0 || unended === true ? '' : '\n');
}

const project = fileURLToPath(new URL('../../../', import.meta.url));
const folder = resolve(project, process.env['MINIKMS_VECTORS_DIR'] ?? '../shared/vectors');

/** For `describe.skipIf`. The golden file proves the formats all the same. */
export const vectorsAbsent: boolean = !existsSync(folder);

/** A JSON file of the public vectors. When the folder is absent nothing may be read from the result. */
export function vectorJson<T>(path: string): T {
  if (vectorsAbsent) console.warn(`\n*** ${path} SKIPPED: no folder ${folder} (set MINIKMS_VECTORS_DIR) ***\n`);
  return JSON.parse(vectorsAbsent ? '{}' : readFileSync(join(folder, path), 'utf8')) as T;
}
