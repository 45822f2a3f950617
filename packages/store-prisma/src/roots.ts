import type { RootCheck, RootKeyRegistry } from '@minikms/key-hierarchy';
import type { PrismaClient } from './gen/client.ts';
import { attempt } from './statement.ts';

/** The `root_keys` table: the check values of the root key and of the HKDF salt, one row at most. */
export function rootKeyRegistry(prisma: PrismaClient): RootKeyRegistry {
  return { load: () => attempt(() => load(prisma)), record: (check) => attempt(() => record(prisma, check)) };
}

async function load(prisma: PrismaClient): Promise<{ recorded: RootCheck | undefined; hasWrappedRows: boolean }> {
  // Rows before check values. Whoever wrapped a row had recorded its check values before, so what the first query sees
  // is explained by the second; the other way round, a first start next to this one would look like a lost record.
  const [rows] = await prisma.$queryRaw<[{ wrapped: boolean }]>`
    SELECT EXISTS (SELECT FROM key_versions) OR EXISTS (SELECT FROM server_keys) AS wrapped`;
  const recorded = await prisma.rootKey.findFirst({ select: { rootKeyId: true, saltId: true } });
  return {
    recorded: recorded
      ? { rootKeyId: new Uint8Array(recorded.rootKeyId), saltId: new Uint8Array(recorded.saltId) }
      : undefined,
    hasWrappedRows: rows.wrapped,
  };
}

async function record(prisma: PrismaClient, check: RootCheck): Promise<void> {
  const { rootKeyId, saltId } = check;
  // ON CONFLICT DO NOTHING, and the index root_keys_one makes any second row a conflict.
  await prisma.rootKey.createMany({
    data: { rootKeyId: new Uint8Array(rootKeyId), saltId: new Uint8Array(saltId) },
    skipDuplicates: true,
  });
}
