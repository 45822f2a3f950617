import { changeEntryContract, keyStoreContract, serverKeyStoreContract } from '@minikms/key-hierarchy/testing';
import { writtenEntries } from './entries.ts';
import { database } from './fixture.ts';

keyStoreContract('PostgreSQL', async () => {
  const db = await database();
  const { keys, roots } = await db.store();
  return { keys, roots, close: () => db.drop() };
});

changeEntryContract('PostgreSQL', async () => {
  const db = await database();
  const { keys } = await db.store();
  return { keys, entries: (log) => writtenEntries(db, log), close: () => db.drop() };
});

serverKeyStoreContract('PostgreSQL', async () => {
  const db = await database();
  const { serverKeys, roots } = await db.store();
  return { serverKeys, roots, close: () => db.drop() };
});
