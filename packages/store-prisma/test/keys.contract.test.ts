import { keyStoreContract } from '@minikms/key-hierarchy/testing';
import { database } from './fixture.ts';

keyStoreContract('PostgreSQL', async () => {
  const db = await database();
  const { keys, roots } = await db.store();
  return { keys, roots, close: () => db.drop() };
});
