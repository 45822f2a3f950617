// The requests that the load consists of, made once: gRPC frames as they go over the wire, and how large an answer is.
import { BatchEncryptRequest, BatchEncryptResponse, CiphertextEncoding } from '@minikms/protocol';
import { EncryptRequest, EncryptResponse, KMSServiceService } from '@minikms/protocol';

export const PLAINTEXT_BYTES = 256;
export const BATCH_ITEMS = 100;
export const AAD = 'customer-17/card';
/** The scope whose key is warm. */
export const HOT = { tenantId: 'bench-tenant', scopeId: 'hot' };

/** What sealing adds, and the length of a UUID: the echo answers with as many bytes as the server. */
const SEALED_OVERHEAD = 45;
const KEY_VERSION_ID_BYTES = 36;

export interface Call {
  readonly path: string;
  /** A request as DATA: not compressed, 4 bytes of length, the message. */
  readonly frame: Buffer;
  /** Size of a good answer's DATA. An error has none, so the sum over a run tells whether every call succeeded. */
  readonly answerBytes: number;
  /** Encryptions that a call makes. */
  readonly items: number;
}

export interface Scope {
  readonly tenantId: string;
  readonly scopeId: string;
}

const plaintext = Buffer.alloc(PLAINTEXT_BYTES, 'plaintext');

export function encryptCall(scope: Scope): Call {
  return {
    path: KMSServiceService.encrypt.path,
    frame: framed(EncryptRequest.encode(EncryptRequest.fromPartial({ ...scope, plaintext, aad: AAD })).finish()),
    answerBytes: framed(EncryptResponse.encode(answer(PLAINTEXT_BYTES, false)).finish()).length,
    items: 1,
  };
}

export function batchCall(scope: Scope, raw: boolean): Call {
  const ciphertextEncoding = raw ? CiphertextEncoding.CIPHERTEXT_ENCODING_RAW : 0;
  const items = Array.from({ length: BATCH_ITEMS }, () => ({ plaintext, aad: AAD }));
  const request = BatchEncryptRequest.fromPartial({ ...scope, items, ciphertextEncoding });
  const answers = items.map(() => answer(PLAINTEXT_BYTES, raw));
  return {
    path: KMSServiceService.batchEncrypt.path,
    frame: framed(BatchEncryptRequest.encode(request).finish()),
    answerBytes: framed(BatchEncryptResponse.encode({ items: answers }).finish()).length,
    items: BATCH_ITEMS,
  };
}

const bodies = new Map<number, Buffer>();

/** An answer as large as the server's to so much plaintext, made of nothing. */
export function answer(plaintextBytes: number, raw: boolean): EncryptResponse {
  const sealed = plaintextBytes + SEALED_OVERHEAD;
  const size = raw ? sealed : Math.ceil(sealed / 3) * 4;
  let ciphertext = bodies.get(size);
  if (ciphertext === undefined) bodies.set(size, (ciphertext = Buffer.alloc(size, 'A')));
  return {
    ciphertext,
    keyVersionId: '0'.repeat(KEY_VERSION_ID_BYTES),
    ciphertextCrc32c: undefined,
    verifiedPlaintextCrc32c: false,
    verifiedAadCrc32c: false,
    error: undefined,
    reference: '',
  };
}

function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}
