import { StoreError } from './failure.ts';
import type { PrismaClient } from './gen/client.ts';
import { attempt } from './statement.ts';

/** What a database may be used for; fixed at its first start. */
export type Mode = 'development' | 'production';

export interface Installation {
  /**
   * Stamps the database with `mode` at its first start; one winner when several servers start together. Returns when
   * the database is stamped with `mode`, now or before. Throws `STORE_MODE_MISMATCH` when it is stamped with the other
   * mode, and `STORE_UNAVAILABLE`.
   */
  stamp(mode: Mode): Promise<void>;
}

/** The `installation` table, one row at most. */
export function installation(prisma: PrismaClient): Installation {
  return { stamp: (mode) => attempt(() => stamp(prisma, mode)) };
}

async function stamp(prisma: PrismaClient, mode: Mode): Promise<void> {
  // ON CONFLICT DO NOTHING waits for a stamp under way elsewhere; the query after it sees who won.
  await prisma.installation.createMany({ data: { mode }, skipDuplicates: true });
  const stamped = await prisma.installation.findUniqueOrThrow({ where: { id: 1 }, select: { mode: true } });
  if (stamped.mode === mode) return;
  throw new StoreError(
    'STORE_MODE_MISMATCH',
    `this database was stamped for ${stamped.mode} at its first start and cannot be used in ${mode} mode: ` +
      `start the server in ${stamped.mode} mode, or give it another, empty database`,
  );
}
