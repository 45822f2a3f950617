import { hash, randomBytes } from 'node:crypto';
import { domainSeparated, equal, utf8 } from '@minikms/crypto-core';
import type { Subject } from './ports.ts';

const DOMAIN = 'minikms/audit/subject/v1';
const SALT_LENGTH = 32;

/**
 * A new opaque id for a label, with the salt that proves it while it is kept.
 *
 * @throws CryptoError `TEXT_INVALID` for a label with a lone surrogate.
 */
export function newSubject(tenantId: string, kind: string, label: string): Subject {
  const salt = randomBytes(SALT_LENGTH);
  return { id: subjectId(salt, label), tenantId, kind, salt, label };
}

/** Whether an id in an entry stands for this label. Constant time; never throws. */
export function verifySubject(id: string, salt: Uint8Array, label: string): boolean {
  if (salt.length !== SALT_LENGTH || !label.isWellFormed()) return false;
  return id.isWellFormed() && equal(utf8(id), utf8(subjectId(salt, label)));
}

function subjectId(salt: Uint8Array, label: string): string {
  return hash('sha256', domainSeparated(DOMAIN, salt, label), 'base64url');
}

/** A subject and whether its row is known to be stored. */
export interface KnownSubject {
  readonly subject: Subject;
  /** To be set when an append with the subject has succeeded; until then it goes with each entry that names it. */
  stored: boolean;
}

/** The subjects that entries named last, so that the same label keeps its id. */
export class SubjectCache {
  readonly #max: number;
  /** Least recently used first. */
  readonly #known = new Map<string, KnownSubject>();

  /** @param max subjects that are kept, 1 at least. */
  constructor(max: number) {
    this.#max = max;
  }

  /**
   * The subject of this label, a new one when none is kept.
   *
   * @throws CryptoError `TEXT_INVALID` for a label with a lone surrogate.
   */
  of(tenantId: string, kind: string, label: string): KnownSubject {
    const name = `${tenantId.length} ${kind.length} ${tenantId}${kind}${label}`;
    const found = this.#known.get(name);
    // The order matters when the next ones to go are chosen; keeping it costs more than all the rest.
    if (found !== undefined && this.#known.size * 2 < this.#max) return found;
    const known = found ?? { subject: newSubject(tenantId, kind, label), stored: false };
    this.#known.delete(name);
    this.#known.set(name, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > this.#max) this.#known.delete(oldest!);
    return known;
  }

  /** For a label that was erased, of one tenant or, with `undefined`, of all: it gets another id from now on. */
  forget(tenantId: string | undefined, label: string): void {
    for (const [name, { subject }] of this.#known) {
      if (subject.label !== label || (tenantId !== undefined && subject.tenantId !== tenantId)) continue;
      this.#known.delete(name);
    }
  }
}
