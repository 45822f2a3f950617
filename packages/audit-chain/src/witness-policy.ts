import { equal } from '@minikms/crypto-core';
import { cosignatures } from './cosignature.ts';
import { AuditError } from './errors.ts';
import { formatSignature, parseNote } from './note.ts';
import { addCheckpoint, type Answer, type Submission, type Transport, type Witness } from './witness.ts';

/** Of these witnesses, so many have to cosign. */
export interface WitnessPolicy {
  /** 1 to the number of witnesses. */
  readonly threshold: number;
  readonly witnesses: readonly Witness[];
}

export interface WitnessesOptions extends WitnessPolicy {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** For an exchange with a witness; 10,000. */
  readonly timeoutMs?: number;
  /** That of the platform when left out. */
  readonly fetch?: typeof globalThis.fetch;
}

/** What the witnesses that were asked said. */
export interface Witnessed {
  /** The checkpoint with every cosignature that it has now. */
  readonly note: string;
  readonly answers: readonly Answer[];
  readonly failures: readonly unknown[];
}

/** The one policy of a server: which witnesses cosign its checkpoints, and how many must. */
export class Witnesses {
  readonly #policy: WitnessPolicy;
  readonly #transport: Transport;
  /** What each cosigned last, as far as is known: a restart asks for it again. */
  readonly #seen = new Map<Witness, { readonly origin: string; readonly size: number }>();

  /**
   * @throws AuditError `WITNESS_POLICY_INVALID` for a threshold that cannot be met, a key that is there twice, or a URL that
   * is neither https nor http to this machine.
   */
  constructor({ threshold, witnesses, now, timeoutMs = 10_000, fetch = globalThis.fetch }: WitnessesOptions) {
    if (!Number.isInteger(threshold) || threshold < 1 || threshold > witnesses.length) {
      throw invalid(`of ${witnesses.length} witnesses, 1 to ${witnesses.length} can have to cosign`);
    }
    for (const [i, { key, url }] of witnesses.entries()) {
      const same = witnesses.slice(0, i).some((other) => equal(other.key.publicKey, key.publicKey));
      if (same) throw invalid(`the key of ${key.name} is there twice`);
      if (!allowed(url)) throw invalid(`the URL of ${key.name} is neither https nor http to this machine`);
    }
    this.#policy = { threshold, witnesses };
    this.#transport = { fetch, now, timeoutMs };
  }

  /** How many have to cosign. */
  get threshold(): number {
    return this.#policy.threshold;
  }

  /**
   * Whether enough of the witnesses cosigned a checkpoint.
   *
   * @throws AuditError as `cosignatures`.
   */
  quorum(note: string): boolean {
    const keys = this.#policy.witnesses.map(({ key }) => key);
    return cosignatures(note, keys).length >= this.#policy.threshold;
  }

  /** Asks those that did not cosign a checkpoint yet, all at once. Never throws for what a witness does. */
  async collect(submission: Submission): Promise<Witnessed> {
    const { witnesses } = this.#policy;
    const present = cosignatures(
      submission.note,
      witnesses.map(({ key }) => key),
    );
    const asked = witnesses.filter(({ key }) => !present.some((cosignature) => cosignature.key === key));
    const settled = await Promise.allSettled(asked.map((witness) => this.#ask(witness, submission)));
    const answers = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    const lines = answers.map((one) => (one.kind === 'cosigned' ? formatSignature(one.signature) : ''));
    return { note: submission.note + lines.join(''), answers, failures };
  }

  async #ask(witness: Witness, submission: Submission): Promise<Answer> {
    const [origin = ''] = parseNote(submission.note).text.split('\n', 1);
    const seen = this.#seen.get(witness);
    const old = seen?.origin === origin && seen.size <= submission.size ? seen.size : 0;
    const answer = await addCheckpoint(witness, submission, old, this.#transport);
    if (answer.kind === 'cosigned') this.#seen.set(witness, { origin, size: submission.size });
    return answer;
  }
}

function allowed(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') return false;
  if (url.protocol === 'https:') return true;
  return url.protocol === 'http:' && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname);
}

function invalid(why: string): AuditError {
  return new AuditError('WITNESS_POLICY_INVALID', `not a policy of witnesses: ${why}`);
}
