import { Appender, type NewEntry } from '@minikms/audit-chain';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openStore } from '../src/index.ts';
import { newEntries, verified } from './audit-fixture.ts';
import { cutter, type Cutter } from './cutter.ts';
import { database, type Database } from './fixture.ts';

let db: Database;
let wire: Cutter;

beforeEach(async () => {
  db = await database();
  wire = await cutter(db.url);
});
afterEach(async () => {
  await wire.close();
  await db.drop();
});

async function waiters(): Promise<number> {
  const rows = await db.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rows.length;
}

it('an append whose connection is lost while it waits for its log is not written twice', async () => {
  const [far, near] = [await openStore({ url: wire.url }), await db.store()];
  try {
    const appender = new Appender({ store: far.audit, floor: () => undefined, onIncident: () => undefined });
    const [first, lost, next] = newEntries('acme', 3) as [NewEntry, NewEntry, NewEntry];
    await appender.append(first);
    // Another server writes it too, and is slow.
    await near.audit.appendInTurn(newEntries('acme', 1), []);
    const letGo = await db.hold(`SELECT FROM audit_heads WHERE tenant_id = 'acme' FOR UPDATE`);
    const answer = appender.append(lost).catch(({ code }: { code: string }) => code);
    await expect.poll(waiters).toBe(1);
    wire.down();
    wire.up();
    expect(await answer).toBe('STORE_UNAVAILABLE');
    const second = appender.append(next);
    // Behind the one that was lost, of which the database knows nothing.
    await expect.poll(waiters).toBe(2);
    await letGo();
    expect(await second).toEqual({ tenantId: 'acme', seq: 4 });
    const details = await verified(near.audit, 'acme');
    expect(details.filter((one) => one === lost.details)).toHaveLength(1);
    expect(details).toHaveLength(4);
    await appender.close();
  } finally {
    await far.close();
  }
});
