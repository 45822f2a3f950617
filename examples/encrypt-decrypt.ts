// Encrypts a tenant's secret through a running server, decrypts it, and shows what a wrong aad gets.
//
//   npm start            in one terminal
//   npm run example      in another
import { connect, MiniKmsError } from '@minikms/client';

const address = process.env['MINIKMS_ADDR'] ?? '127.0.0.1:50051';
const minikms = connect({ address });
const scope = { tenantId: 'acme', scopeId: 'billing' };

try {
  await minikms.ready(5000);

  const plaintext = Buffer.from('card ending 4242');
  const sealed = await minikms.kms.encrypt({ ...scope, plaintext, aad: 'customer-17' });
  console.log(`encrypted with key version ${sealed.keyVersionId}`);
  console.log(`  ${sealed.ciphertext.toString()}`);

  const opened = await minikms.kms.decrypt({ ...scope, ciphertext: sealed.ciphertext, aad: 'customer-17' });
  console.log(`decrypted: ${opened.plaintext.toString()}`);

  const moved = minikms.kms.decrypt({ ...scope, ciphertext: sealed.ciphertext, aad: 'customer-18' });
  const refusal: unknown = await moved.catch((error: unknown) => error);
  if (!(refusal instanceof MiniKmsError)) throw new Error('a ciphertext opened for another customer');
  console.log(`for another customer: ${refusal.code}`);
} catch (error) {
  if (!(error instanceof MiniKmsError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  if (error.code === 'UNAVAILABLE') console.error('Is the server running? Start it with: npm start');
  process.exitCode = 1;
} finally {
  minikms.close();
}
