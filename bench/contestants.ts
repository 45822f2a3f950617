// What takes part in the rounds: a server under load, or the bare cipher loop.
import { BUSY, type Generator, type Shape } from './generator.ts';
import type { Call, Scope } from './requests.ts';
import type { Contestant } from './rounds.ts';
import type { KmsTarget, Target } from './servers.ts';

/** A server that answers a call for about `seconds` in each round; warmed up when this returns. */
export async function underLoad(
  generator: Generator,
  target: Target,
  call: Call,
  seconds: number,
  shape: Shape = BUSY,
): Promise<Contestant> {
  let requests = 256;
  let rate = 0;
  // Longer each time, until its code is compiled and the rate is known.
  for (let spent = 0; spent < seconds;) {
    const run = await generator.run(target.port, call, shape, requests);
    rate = requests / run.seconds;
    spent += run.seconds;
    requests = Math.ceil(rate * Math.min(seconds, Math.max(2 * run.seconds, 0.25)));
  }
  requests = Math.ceil(rate * seconds);
  return {
    pid: target.pid,
    async run() {
      const run = await generator.run(target.port, call, shape, requests);
      return { items: requests * call.items, seconds: run.seconds };
    },
  };
}

/** The real server: after each round its own count of encryptions must have grown by what was sent. */
export async function kmsUnderLoad(
  generator: Generator,
  kms: KmsTarget,
  call: Call,
  scope: Scope,
  seconds: number,
  shape: Shape = BUSY,
): Promise<Contestant> {
  const load = await underLoad(generator, kms, call, seconds, shape);
  return { ...load, run: async () => counted(kms, scope, async () => load.run()) };
}

async function counted<Result extends { readonly items: number }>(
  kms: KmsTarget,
  scope: Scope,
  run: () => Promise<Result>,
): Promise<Result> {
  const before = await kms.minikms.kms.getKeyInfo(scope);
  const result = await run();
  const after = await kms.minikms.kms.getKeyInfo(scope);
  const made = Number(after.encryptionCount - before.encryptionCount);
  if (after.keyVersionId !== before.keyVersionId || made !== result.items) {
    throw new Error(`${result.items} encryptions were asked for, and the server counted ${made}`);
  }
  return result;
}

/** @param loop what `startBareCipher` returned */
export async function bareCipher(loop: (seconds: number) => Promise<number>, seconds: number): Promise<Contestant> {
  await loop(1);
  return { run: async () => ({ items: (await loop(seconds)) * seconds, seconds }) };
}
