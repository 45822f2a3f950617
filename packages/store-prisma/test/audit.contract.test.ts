import { entryLogContract, treeStoreContract, type OpenedAuditStore } from '@minikms/audit-chain/testing';
import { database } from './fixture.ts';

async function open(): Promise<OpenedAuditStore> {
  const db = await database();
  const store = await db.store();
  return {
    store: store.audit,
    hold: (tenantId) => db.hold(`SELECT FROM audit_heads WHERE tenant_id = '${tenantId}' FOR UPDATE`),
    close: () => db.drop(),
  };
}

entryLogContract('PostgreSQL', open);
treeStoreContract('PostgreSQL', open);
