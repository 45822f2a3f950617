// What a warm call costs with few and with many tenants in the database.
import pg from 'pg';
import { kmsUnderLoad } from '../contestants.ts';
import type { Figure } from '../figure.ts';
import type { Generator } from '../generator.ts';
import type { Plan } from '../plan.ts';
import { encryptCall, HOT } from '../requests.ts';
import { alternate, type Contestant, ratioOf } from '../rounds.ts';
import { database, startKms } from '../servers.ts';
import type { Stage } from '../stage.ts';

const FEW = 10;
const MANY = 100_000;

/** Random bytes in place of wrapped keys: nobody opens them. */
const INSERT = `
  INSERT INTO key_versions (tenant_id, scope_id, version, id, wrapped_dek, root_key_id, salt_id, max_encryptions)
  SELECT 'tenant-' || i, 'scope', 1, gen_random_uuid(),
         decode(repeat(md5(random()::text), 3), 'hex') || decode(repeat('00', 12), 'hex'),
         root_key_id, salt_id, 1073741824
  FROM generate_series(1, $1::integer) i, root_keys`;

export async function tenantsFigure(stage: Stage, generator: Generator, plan: Plan): Promise<Figure> {
  const [few, many] = [await warmServer(stage, generator, plan, FEW), await warmServer(stage, generator, plan, MANY)];
  const rates = await alternate(plan.rounds, { few, many });
  return {
    name: `warm Encrypt, ${MANY.toLocaleString('en')} tenants against ${FEW}`,
    unit: 'items/s',
    ours: rates.many.rate,
    baseline: rates.few.rate,
    ratio: ratioOf(rates.many, rates.few),
    // The same but for what differs from one round to the next anyway.
    target: { is: 'at least', of: 0.95 },
    details: { ours: rates.many, baseline: rates.few },
  };
}

async function warmServer(stage: Stage, generator: Generator, plan: Plan, tenants: number): Promise<Contestant> {
  const url = await database(stage);
  const kms = await startKms(stage, url);
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rowCount } = await client.query(INSERT, [tenants]);
    if (rowCount !== tenants) throw new Error(`${rowCount} of ${tenants} tenants were made`);
    await client.query('ANALYZE');
  } finally {
    await client.end();
  }
  return kmsUnderLoad(generator, kms, encryptCall(HOT), HOT, plan.seconds);
}
