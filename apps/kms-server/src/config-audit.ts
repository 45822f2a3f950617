import { createHash } from 'node:crypto';
import { AuditError, parseWitnessKey, type WitnessPolicy } from '@minikms/audit-chain';
import { z } from 'zod';
import { url, whole } from './config-values.ts';

/** Where the audit log's checkpoints go. */
export interface AuditConfig {
  /** A schema-less URL; the one that is stored, or one made of the root key's id, when left out. */
  readonly logName: string | undefined;
  readonly intervalMs: number;
  /** A folder outside of the database. */
  readonly checkpointDir: string | undefined;
  readonly checkpointUrl: string | undefined;
  readonly witnesses: WitnessPolicy | undefined;
}

interface Shape {
  readonly MINIKMS_AUDIT_LOG_NAME: z.ZodOptional<z.ZodString>;
  readonly MINIKMS_AUDIT_CHECKPOINT_SECONDS: z.ZodType<number, string | undefined>;
  readonly MINIKMS_AUDIT_CHECKPOINT_DIR: z.ZodOptional<z.ZodString>;
  readonly MINIKMS_AUDIT_CHECKPOINT_URL: z.ZodOptional<z.ZodString>;
  readonly MINIKMS_AUDIT_WITNESSES: z.ZodOptional<z.ZodString>;
  readonly MINIKMS_AUDIT_WITNESS_QUORUM: z.ZodType<number, string | undefined>;
}

export const AUDIT_SETTINGS: Shape = {
  MINIKMS_AUDIT_LOG_NAME: z
    .string()
    .regex(/^[!-*,-~]{1,255}$/, { error: 'must be 1 to 255 printable ASCII characters without space and plus' })
    .refine((text) => !text.endsWith('/') && !text.includes('://'), {
      error: 'must be a URL without its schema, such as kms.example.com/audit',
    })
    .optional(),
  MINIKMS_AUDIT_CHECKPOINT_SECONDS: whole(60, 1, 86_400),
  MINIKMS_AUDIT_CHECKPOINT_DIR: z.string().optional(),
  MINIKMS_AUDIT_CHECKPOINT_URL: url(['http:', 'https:'], 'https://witness.example.com/checkpoints')
    .refine((text) => !URL.canParse(text) || isPrivate(new URL(text)), {
      error: 'must be an https:// URL, or http:// to this machine, without user and password',
    })
    .optional(),
  MINIKMS_AUDIT_WITNESSES: z.string().optional(),
  MINIKMS_AUDIT_WITNESS_QUORUM: whole(1, 1, 100),
};

type Settings = z.output<z.ZodObject<{ -readonly [Name in keyof Shape]: Shape[Name] }>>;

export function auditConfig(settings: Settings, problems: string[]): AuditConfig {
  return {
    logName: settings.MINIKMS_AUDIT_LOG_NAME,
    intervalMs: settings.MINIKMS_AUDIT_CHECKPOINT_SECONDS * 1000,
    checkpointDir: settings.MINIKMS_AUDIT_CHECKPOINT_DIR,
    checkpointUrl: settings.MINIKMS_AUDIT_CHECKPOINT_URL,
    witnesses: witnessPolicy(settings, problems),
  };
}

/** What goes there is not read on the way, and nothing in it is a password. Other schemes have been refused. */
function isPrivate({ protocol, hostname, username, password }: URL): boolean {
  if (username !== '' || password !== '') return false;
  return protocol !== 'http:' || /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}

/** Pairs of a verifier key and a URL, all apart by white space. */
function witnessPolicy(settings: Settings, problems: string[]): WitnessPolicy | undefined {
  const words = (settings.MINIKMS_AUDIT_WITNESSES ?? '').split(/\s+/).filter((word) => word !== '');
  if (words.length === 0) return undefined;
  const rule = 'MINIKMS_AUDIT_WITNESSES must hold a verifier key and a URL for each witness, apart by spaces';
  if (words.length % 2 !== 0) {
    problems.push(rule);
    return undefined;
  }
  const threshold = settings.MINIKMS_AUDIT_WITNESS_QUORUM;
  if (threshold > words.length / 2) {
    problems.push(`MINIKMS_AUDIT_WITNESS_QUORUM is ${threshold}, but there are ${words.length / 2} witnesses`);
    return undefined;
  }
  try {
    const witnesses = words.flatMap((word, i) =>
      i % 2 === 0 ? [{ key: parseWitnessKey(word), url: words[i + 1] as string }] : [],
    );
    return { threshold, witnesses };
  } catch (error) {
    if (!(error instanceof AuditError)) throw error;
    problems.push(`${rule}: ${error.message}`);
    return undefined;
  }
}

const SECRET = /_(DB_URL|REDIS_URL|ROOT_KEY|HKDF_SALT|CHECKPOINT_URL)(_FILE)?$/;

/**
 * Tells one configuration from another without telling a secret, which could be guessed from a hash: names and passwords
 * of databases are left out, and so are the salt and a URL whose path may be a token.
 */
export function fingerprint(settings: Readonly<Record<string, unknown>>, certificate: Buffer | undefined): string {
  const told = Object.entries(settings)
    .filter(([name, value]) => value !== undefined && !SECRET.test(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  const sum = createHash('sha256').update(JSON.stringify(told));
  if (certificate !== undefined) sum.update(certificate);
  return sum.digest('hex');
}
