// The load generator does not read ciphertexts. Before and after it, a client does.
import { randomBytes } from 'node:crypto';
import { AAD, BATCH_ITEMS, PLAINTEXT_BYTES, type Scope } from './requests.ts';
import type { KmsTarget } from './servers.ts';

/** @throws Error unless what the server encrypts, singly and in a batch in both encodings, is what it decrypts. */
export async function checkRoundTrip({ minikms: { kms } }: KmsTarget, scope: Scope): Promise<void> {
  const plaintext = randomBytes(PLAINTEXT_BYTES);
  const single = await kms.encrypt({ ...scope, plaintext, aad: AAD });
  await checkOpens(kms, scope, plaintext, single.ciphertext);
  const items = Array.from({ length: BATCH_ITEMS }, () => ({ plaintext: randomBytes(PLAINTEXT_BYTES), aad: AAD }));
  for (const ciphertextEncoding of [1, 2] as const) {
    const batch = await kms.batchEncrypt({ ...scope, items, ciphertextEncoding });
    if (batch.items.length !== BATCH_ITEMS) throw new Error(`a batch of ${BATCH_ITEMS} became ${batch.items.length}`);
    const last = BATCH_ITEMS - 1;
    for (const i of [0, last]) {
      await checkOpens(kms, scope, items[i]?.plaintext, batch.items[i]?.ciphertext);
    }
  }
}

async function checkOpens(
  kms: KmsTarget['minikms']['kms'],
  scope: Scope,
  plaintext: Buffer | undefined,
  ciphertext: Uint8Array | undefined,
): Promise<void> {
  if (plaintext === undefined || ciphertext === undefined) throw new Error('an item without an answer');
  const opened = await kms.decrypt({ ...scope, ciphertext: Buffer.from(ciphertext), aad: AAD });
  if (!plaintext.equals(opened.plaintext)) throw new Error('what was encrypted is not what was decrypted');
}
