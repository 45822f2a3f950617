// Encrypt on a warm key against the bare echo, and BatchEncrypt against the bare cipher loop, in items a second.
import { bareCipher, kmsUnderLoad, underLoad } from '../contestants.ts';
import type { Figure } from '../figure.ts';
import type { Generator } from '../generator.ts';
import { batchCall, encryptCall, HOT } from '../requests.ts';
import { alternate, type Rate, ratioOf } from '../rounds.ts';
import { type KmsTarget, startBareCipher, type Target } from '../servers.ts';
import type { Plan } from '../plan.ts';
import type { Stage } from '../stage.ts';

export async function encryptFigure(generator: Generator, kms: KmsTarget, echo: Target, plan: Plan): Promise<Figure> {
  const call = encryptCall(HOT);
  const { ours, bare } = await alternate(plan.rounds, {
    bare: await underLoad(generator, echo, call, plan.seconds),
    ours: await kmsUnderLoad(generator, kms, call, HOT, plan.seconds),
  });
  return compared('Encrypt, warm, against an echo', ours, bare, 0.8);
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
