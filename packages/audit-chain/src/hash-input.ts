import { hash } from 'node:crypto';
import { HASH_LENGTH, MAX_BYTES, MAX_INT64, MAX_UINT64 } from './bounds.ts';
import type { AuditEntry } from './entry.ts';
import { AuditError } from './errors.ts';
import type { NewEntry } from './ports.ts';

const DOMAIN = 'minikms/audit/v2';
/** Where the fixed fields stand. */
export const PREVIOUS_AT: number = DOMAIN.length + 8;
export const TIMESTAMP_AT: number = PREVIOUS_AT + HASH_LENGTH + 8;
export const ACTION_AT: number = TIMESTAMP_AT + 8 + 8;
const TEXT = MAX_BYTES.action + MAX_BYTES.actorId + MAX_BYTES.details + MAX_BYTES.tenantId;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * What is hashed of an entry, in a buffer that is used again for the next (spec/audit-chain.md §2): domain ‖
 * LP(previous_hash) ‖ LP(timestamp) ‖ LP(action) ‖ LP(actor_id) ‖ LP(details) ‖ LP(tenant_id) ‖ LP(seq) ‖
 * LP(request_jwt_hash). A million entries a few seconds need this; who has one entry calls `entryHash`.
 */
export class HashInput {
  readonly bytes: Uint8Array = new Uint8Array(ACTION_AT + TEXT + 6 * 8 + 8 + HASH_LENGTH);
  readonly view: DataView = new DataView(this.bytes.buffer);
  /** The hash that the entry says it has. */
  readonly entryHash: Uint8Array = new Uint8Array(HASH_LENGTH);
  /** Not exact from 2^53 on; `view` is. */
  seq = 0;
  actionEnd = 0;
  actorEnd = 0;
  detailsEnd = 0;
  tenantEnd = 0;
  end = 0;

  constructor() {
    encoder.encodeInto(DOMAIN, this.bytes);
    this.length(PREVIOUS_AT, HASH_LENGTH);
    this.length(TIMESTAMP_AT, 8);
  }

  get tenantAt(): number {
    return this.detailsEnd + 8;
  }

  /** Writes the length of LP in front of a field. */
  length(fieldAt: number, length: number): void {
    for (let at = fieldAt - 8; at < fieldAt - 2; at += 1) this.bytes[at] = 0;
    this.bytes[fieldAt - 2] = length >>> 8;
    this.bytes[fieldAt - 1] = length;
  }

  /** The fields after tenant_id, which ends where `tenantEnd` says. */
  finish(seq: bigint | number, requestJwtHash: Uint8Array): void {
    const at = this.tenantEnd + 8;
    this.seq = Number(seq);
    this.length(at, 8);
    if (typeof seq === 'bigint') this.view.setBigUint64(at, seq);
    else this.uint64(at, seq);
    this.length(at + 16, requestJwtHash.length);
    this.bytes.set(requestJwtHash, at + 16);
    this.end = at + 16 + requestJwtHash.length;
  }

  /** A safe integer, in two's complement; a BigInt would cost an allocation. */
  uint64(at: number, value: number): void {
    this.view.setUint32(at, Math.floor(value / 0x1_0000_0000));
    this.view.setUint32(at + 4, value >>> 0);
  }

  /** @throws AuditError `ENTRY_INVALID`. */
  put(entry: Omit<AuditEntry, 'entryHash'> & { readonly entryHash?: Uint8Array }): void {
    if (entry.seq < 1n || entry.seq > MAX_UINT64) throw invalid('seq', '1 to 2^64 - 1');
    if (entry.timestampUs > MAX_INT64 || entry.timestampUs < -MAX_INT64 - 1n) throw invalid('timestamp_us', 'an int64');
    if (entry.previousHash.length !== HASH_LENGTH) throw invalid('previous_hash', '32 bytes');
    const jwt = entry.requestJwtHash;
    if (jwt.length !== 0 && jwt.length !== HASH_LENGTH) throw invalid('request_jwt_hash', 'no bytes or 32');
    if (entry.entryHash !== undefined) {
      if (entry.entryHash.length !== HASH_LENGTH) throw invalid('entry_hash', '32 bytes');
      this.entryHash.set(entry.entryHash);
    }
    this.bytes.set(entry.previousHash, PREVIOUS_AT);
    this.view.setBigInt64(TIMESTAMP_AT, entry.timestampUs);
    this.#texts(entry);
    this.finish(entry.seq, jwt);
  }

  /** The same for a new entry, as it follows one of this hash. */
  putNew(entry: NewEntry, seq: number, previousHash: Uint8Array): void {
    if (!Number.isSafeInteger(entry.timestampUs)) throw invalid('timestamp_us', 'an integer below 2^53');
    const { length } = entry.requestJwtHash;
    if (length !== 0 && length !== HASH_LENGTH) throw invalid('request_jwt_hash', 'no bytes or 32');
    this.bytes.set(previousHash, PREVIOUS_AT);
    this.uint64(TIMESTAMP_AT, entry.timestampUs);
    this.#texts(entry);
    this.finish(seq, entry.requestJwtHash);
  }

  /** The entry that was put or scanned, in arrays of its own. */
  entry(): AuditEntry {
    const text = (from: number, to: number): string => decoder.decode(this.bytes.subarray(from, to));
    return {
      seq: this.view.getBigUint64(this.tenantEnd + 8),
      timestampUs: this.view.getBigInt64(TIMESTAMP_AT),
      action: text(ACTION_AT, this.actionEnd),
      actorId: text(this.actionEnd + 8, this.actorEnd),
      details: text(this.actorEnd + 8, this.detailsEnd),
      tenantId: text(this.tenantAt, this.tenantEnd),
      requestJwtHash: this.bytes.slice(this.tenantEnd + 24, this.end),
      previousHash: this.bytes.slice(PREVIOUS_AT, PREVIOUS_AT + HASH_LENGTH),
      entryHash: this.entryHash.slice(),
    };
  }

  hash(): Uint8Array {
    return hash('sha256', this.bytes.subarray(0, this.end), 'buffer');
  }

  #texts({ action, actorId, details, tenantId }: Omit<NewEntry, 'timestampUs' | 'requestJwtHash'>): void {
    this.actionEnd = this.#text('action', action, ACTION_AT, 1, MAX_BYTES.action);
    this.actorEnd = this.#text('actor_id', actorId, this.actionEnd + 8, 0, MAX_BYTES.actorId);
    this.detailsEnd = this.#text('details', details, this.actorEnd + 8, 0, MAX_BYTES.details);
    this.tenantEnd = this.#text('tenant_id', tenantId, this.tenantAt, 1, MAX_BYTES.tenantId);
  }

  #text(field: string, text: string, at: number, min: number, max: number): number {
    if (!text.isWellFormed()) throw invalid(field, 'text without lone surrogates');
    const rule = `${min} to ${max} bytes of UTF-8`;
    // No character takes less than a byte for each of its UTF-16 code units.
    if (text.length > max) throw invalid(field, rule);
    const { read, written } = encoder.encodeInto(text, this.bytes.subarray(at, at + max + 1));
    if (written < min || written > max || read < text.length) throw invalid(field, rule);
    this.length(at, written);
    return at + written;
  }
}

function invalid(field: string, rule: string): AuditError {
  return new AuditError('ENTRY_INVALID', `${field} of an audit entry must be ${rule}`);
}
