// The bare loop that a batch is compared with, a process of its own: AES-256-GCM by node:crypto and nothing else. For
// each message, a number of seconds, it answers with the items that it sealed in a second.
import { createCipheriv, createSecretKey, randomBytes, randomFillSync } from 'node:crypto';
import { AAD, PLAINTEXT_BYTES } from './requests.ts';

const NONCE_BYTES = 12;
const OPTIONS = { authTagLength: 16 };

const key = createSecretKey(randomBytes(32));
const plaintext = Buffer.alloc(PLAINTEXT_BYTES, 'plaintext');
const aad = Buffer.from(AAD);
const pool = Buffer.alloc(4096 * NONCE_BYTES);
let next = pool.length;

/** What a sealed item consists of goes here, or an optimiser might notice that nobody wants it. */
let produced = 0;

function sealOne(): void {
  if (next === pool.length) {
    randomFillSync(pool);
    next = 0;
  }
  const cipher = createCipheriv('aes-256-gcm', key, pool.subarray(next, (next += NONCE_BYTES)), OPTIONS);
  cipher.setAAD(aad);
  produced += cipher.update(plaintext).length;
  produced += cipher.final().length;
  produced += cipher.getAuthTag().length;
}

function itemsPerSecond(seconds: number): number {
  const started = performance.now();
  const end = started + seconds * 1000;
  let items = 0;
  let now = started;
  while (now < end) {
    for (let i = 0; i < 500; i++) sealOne();
    items += 500;
    now = performance.now();
  }
  if (produced === 0) throw new Error('nothing was sealed');
  return items / ((now - started) / 1000);
}

// Who asked may be gone when the answer is ready: hence the callback.
process.on('message', (seconds: number) => {
  process.send?.({ itemsPerSecond: itemsPerSecond(seconds) }, () => undefined);
});
process.once('disconnect', () => process.exit(0));
process.on('SIGINT', () => undefined);
