// Encrypt on a warm key against the bare echo, and BatchEncrypt against the bare cipher loop, in items a second.
import { entriesOf } from '../audit-log.ts';
import { bareCipher, kmsUnderLoad, underLoad } from '../contestants.ts';
import type { Figure } from '../figure.ts';
import { type Generator, WIDE } from '../generator.ts';
import { batchCall, encryptCall, HOT } from '../requests.ts';
import { alternate, type Rate, ratioOf } from '../rounds.ts';
import { type KmsTarget, startBareCipher, type Target } from '../servers.ts';
import type { Plan } from '../plan.ts';
import type { Stage } from '../stage.ts';

/** Without the audit log, which is what a target of issue 2 is about, and as it is. */
export async function encryptFigures(
  generator: Generator,
  { kms, unaudited, echo }: Trio,
  plan: Plan,
): Promise<Figure[]> {
  const call = encryptCall(HOT);
  const rates = await alternate(plan.rounds, {
    bare: await underLoad(generator, echo, call, plan.seconds),
    unaudited: await kmsUnderLoad(generator, unaudited, call, HOT, plan.seconds),
    audited: await kmsUnderLoad(generator, kms, call, HOT, plan.seconds),
  });
  return [
    compared('Encrypt, warm, no-op audit sink, against an echo', rates.unaudited, rates.bare, 0.8),
    compared('Encrypt, warm, audited, against an echo', rates.audited, rates.bare, undefined),
  ];
}

/** What it costs that every call is on disk before it is answered. */
export async function auditFigure(
  generator: Generator,
  { kms, unaudited }: Omit<Trio, 'echo'>,
  plan: Plan,
): Promise<Figure> {
  const call = encryptCall(HOT);
  const entries = async ({ dbUrl }: KmsTarget): Promise<number> => entriesOf(dbUrl, HOT.tenantId, 'kms.encrypt');
  const uses = async ({ minikms }: KmsTarget): Promise<number> =>
    Number((await minikms.kms.getKeyInfo(HOT)).encryptionCount);
  const before = { entries: await entries(kms), uses: await uses(kms) };
  const rates = await alternate(plan.rounds, {
    unaudited: await kmsUnderLoad(generator, unaudited, call, HOT, plan.seconds, WIDE),
    audited: await kmsUnderLoad(generator, kms, call, HOT, plan.seconds, WIDE),
  });
  const grown = { entries: (await entries(kms)) - before.entries, uses: (await uses(kms)) - before.uses };
  if (grown.entries !== grown.uses) throw new Error(`${grown.uses} calls left ${grown.entries} entries`);
  const left = await entries(unaudited);
  if (left !== 0) throw new Error(`the server with a no-op audit sink wrote ${left} entries`);
  const { connections, streams } = WIDE;
  const name = `the same with ${connections * streams} in flight, audited against no-op sink`;
  return compared(name, rates.audited, rates.unaudited, 0.75);
}

/** BatchEncrypt in both encodings; and, to know what gRPC and protobuf alone allow, the echo of the same batch. */
export async function batchFigures(
  stage: Stage,
  generator: Generator,
  kms: KmsTarget,
  echo: Target,
  plan: Plan,
): Promise<Figure[]> {
  const base64 = batchCall(HOT, false);
  const raw = batchCall(HOT, true);
  const loop = startBareCipher(stage);
  const rates = await alternate(plan.rounds, {
    bare: await bareCipher(loop, plan.seconds),
    base64: await kmsUnderLoad(generator, kms, base64, HOT, plan.seconds),
    raw: await kmsUnderLoad(generator, kms, raw, HOT, plan.seconds),
    echo: await underLoad(generator, echo, base64, plan.seconds),
  });
  return [
    compared('BatchEncrypt of 100, against a bare cipher loop', rates.base64, rates.bare, 0.6),
    compared('the same, ciphertexts RAW', rates.raw, rates.bare, undefined),
    compared('an echo of the batch, against the same loop', rates.echo, rates.bare, undefined),
  ];
}

export interface Trio {
  readonly kms: KmsTarget;
  /** With an audit sink that does nothing. */
  readonly unaudited: KmsTarget;
  readonly echo: Target;
}

function compared(name: string, ours: Rate, bare: Rate, target: number | undefined): Figure {
  return {
    name,
    unit: 'items/s',
    ours: ours.rate,
    baseline: bare.rate,
    ratio: ratioOf(ours, bare),
    ...(target !== undefined && { target: { is: 'at least', of: target } }),
    details: { ours, baseline: bare },
  };
}
