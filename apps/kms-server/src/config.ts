import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { SecretBytes } from '@minikms/crypto-core';
import { DEFAULT_HKDF_SALT, DEFAULT_MAX_ENCRYPTIONS, LARGEST_MAX_ENCRYPTIONS } from '@minikms/key-hierarchy';
import { z } from 'zod';
import { AUDIT_SETTINGS, type AuditConfig, auditConfig, fingerprint } from './config-audit.ts';
import { flag, url, whole } from './config-values.ts';
import { redisAddress } from './redis/address.ts';
import { readRootKey } from './root-key.ts';
import { DEFAULT_LIMITS, type Limits } from './services/limits.ts';

export interface Config {
  readonly development: boolean;
  readonly rootKey: SecretBytes<'root-key'>;
  readonly hkdfSalt: string;
  readonly dbUrl: string;
  readonly dbConnections: number;
  /** With whose rights the schema is changed; those of `dbUrl` when there are no others. */
  readonly migrateDbUrl: string | undefined;
  readonly redisUrl: string | undefined;
  readonly address: { readonly host: string; readonly port: number };
  readonly tls: TlsFiles | undefined;
  readonly operatorTokenSha256: Uint8Array | undefined;
  readonly allowInsecure: boolean;
  readonly maxEncryptions: number;
  readonly keyCacheSize: number;
  readonly keyCacheTtlMs: number;
  readonly limits: Limits;
  readonly audit: AuditConfig;
  readonly logLevel: string;
  readonly shutdownTimeoutMs: number;
  /** SHA-256 over every setting that is no secret, in hexadecimal. */
  readonly fingerprint: string;
  /** `MINIKMS_*` variables that mean nothing to this server. */
  readonly unknown: readonly string[];
}

/** PEM, as read from the files. */
export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer | undefined;
}

/** Everything that is wrong with the configuration, each with its fix; no value is echoed. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the configuration has ${problems.length} problem${problems.length === 1 ? '' : 's'}`);
    this.problems = problems;
  }
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/;

const SETTINGS = z.object({
  MINIKMS_ROOT_KEY: z.string().optional(),
  MINIKMS_ROOT_KEY_FILE: z.string().optional(),
  MINIKMS_DB_URL: url(['postgres:', 'postgresql:'], 'postgresql://user:password@host:5432/minikms'),
  MINIKMS_DB_CONNECTIONS: whole(10, 2, 1000),
  MINIKMS_MIGRATE_DB_URL: url(['postgres:', 'postgresql:'], 'postgresql://owner:password@host:5432/minikms').optional(),
  MINIKMS_REDIS_URL: url(['redis:', 'rediss:'], 'redis://host:6379')
    .refine(isRedisAddress, {
      error: 'must be a URL such as redis://host:6379/0: its path is the number of a database',
    })
    .optional(),
  MINIKMS_GRPC_ADDR: z
    .string()
    .refine((text) => parseAddress(text) !== undefined, {
      error: 'must be an IP address and a port, such as 0.0.0.0:50051, 127.0.0.1:50051, [::]:50051 or :50051',
    })
    .optional(),
  MINIKMS_HKDF_SALT: z
    .string()
    .refine((text) => !text.includes('\0'), { error: 'must not hold a NUL character' })
    .default(DEFAULT_HKDF_SALT),
  MINIKMS_OPERATOR_TOKEN_SHA256: z
    .string()
    .regex(/^[0-9a-fA-F]{64}$/, { error: 'must be the SHA-256 of the token as 64 hexadecimal digits' })
    .optional(),
  MINIKMS_TLS_ENABLED: flag,
  MINIKMS_TLS_CERT_FILE: z.string().optional(),
  MINIKMS_TLS_KEY_FILE: z.string().optional(),
  MINIKMS_TLS_CA_FILE: z.string().optional(),
  MINIKMS_ALLOW_INSECURE: flag,
  MINIKMS_MAX_ENCRYPTIONS_PER_KEY: whole(DEFAULT_MAX_ENCRYPTIONS, 1, LARGEST_MAX_ENCRYPTIONS),
  MINIKMS_KEY_CACHE_SIZE: whole(10_000, 1, 10_000_000),
  MINIKMS_KEY_CACHE_TTL_SECONDS: whole(300, 1, 300),
  MINIKMS_MAX_PLAINTEXT_BYTES: whole(DEFAULT_LIMITS.plaintextBytes, 1, 4_194_304),
  MINIKMS_MAX_AAD_BYTES: whole(DEFAULT_LIMITS.aadBytes, 0, 1_048_576),
  MINIKMS_MAX_BATCH_ITEMS: whole(DEFAULT_LIMITS.batchItems, 1, 10_000),
  MINIKMS_MAX_BATCH_BYTES: whole(DEFAULT_LIMITS.batchBytes, 1, 5_242_880),
  MINIKMS_MAX_BATCH_CIPHERTEXT_BYTES: whole(DEFAULT_LIMITS.batchCiphertextBytes, 1, 7_340_032),
  MINIKMS_LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error', 'silent'], { error: 'must be debug, info, warn, error or silent' })
    .optional(),
  MINIKMS_SHUTDOWN_TIMEOUT_SECONDS: whole(10, 1, 600),
  ...AUDIT_SETTINGS,
});

/** Settings whose value may be given as the path of a file that holds it, in a variable with `_FILE` appended. */
const FROM_FILE = [
  'MINIKMS_DB_URL',
  'MINIKMS_MIGRATE_DB_URL',
  'MINIKMS_REDIS_URL',
  'MINIKMS_HKDF_SALT',
  'MINIKMS_OPERATOR_TOKEN_SHA256',
] as const;

function isRedisAddress(text: string): boolean {
  try {
    redisAddress(text);
    return true;
  } catch {
    return false;
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the configuration from `MINIKMS_*` variables; an empty variable counts as unset.
 *
 * @throws ConfigError listing every problem at once.
 */
export function readConfig(environment: Environment, development: boolean): Config {
  const problems: string[] = [];
  const given = resolveFiles(environment, problems);
  const parsed = SETTINGS.safeParse(given);
  for (const issue of parsed.error?.issues ?? []) {
    const name = String(issue.path[0]);
    // What could not be read from a file has been told already.
    if (given[name] === undefined && problems.some((problem) => problem.startsWith(`${name}_FILE`))) continue;
    problems.push(`${name} ${given[name] === undefined ? 'is not set: it ' : ''}${issue.message}`);
  }
  const rootKey = readKey(given, problems);
  const address = parseAddress(given['MINIKMS_GRPC_ADDR'] ?? (development ? '127.0.0.1:50051' : '0.0.0.0:50051'));
  const tls = readTls(given, problems);
  problems.push(...unsafe(given, development, address?.host));
  const audit = parsed.success ? auditConfig(parsed.data, problems) : undefined;
  if (!parsed.success || rootKey === undefined || address === undefined || audit === undefined || problems.length > 0) {
    rootKey?.destroy();
    throw new ConfigError(problems);
  }
  const settings = parsed.data;
  const digest = settings.MINIKMS_OPERATOR_TOKEN_SHA256;
  return {
    development,
    rootKey,
    hkdfSalt: settings.MINIKMS_HKDF_SALT,
    dbUrl: settings.MINIKMS_DB_URL,
    dbConnections: settings.MINIKMS_DB_CONNECTIONS,
    migrateDbUrl: settings.MINIKMS_MIGRATE_DB_URL,
    redisUrl: settings.MINIKMS_REDIS_URL,
    address,
    tls,
    operatorTokenSha256: digest === undefined ? undefined : Buffer.from(digest, 'hex'),
    allowInsecure: settings.MINIKMS_ALLOW_INSECURE,
    maxEncryptions: settings.MINIKMS_MAX_ENCRYPTIONS_PER_KEY,
    keyCacheSize: settings.MINIKMS_KEY_CACHE_SIZE,
    keyCacheTtlMs: settings.MINIKMS_KEY_CACHE_TTL_SECONDS * 1000,
    limits: {
      plaintextBytes: settings.MINIKMS_MAX_PLAINTEXT_BYTES,
      aadBytes: settings.MINIKMS_MAX_AAD_BYTES,
      batchItems: settings.MINIKMS_MAX_BATCH_ITEMS,
      batchBytes: settings.MINIKMS_MAX_BATCH_BYTES,
      batchCiphertextBytes: settings.MINIKMS_MAX_BATCH_CIPHERTEXT_BYTES,
    },
    audit,
    fingerprint: fingerprint(settings, tls?.cert),
    // The banner and what goes wrong is what a person at a terminal wants to see.
    logLevel: settings.MINIKMS_LOG_LEVEL ?? (development ? 'warn' : 'info'),
    shutdownTimeoutMs: settings.MINIKMS_SHUTDOWN_TIMEOUT_SECONDS * 1000,
    unknown: Object.keys(environment).filter((name) => name.startsWith('MINIKMS_') && !isSetting(name)),
  };
}

function isSetting(name: string): boolean {
  return name in SETTINGS.shape || FROM_FILE.some((setting) => name === `${setting}_FILE`);
}

/** The variables that are set, with those given as files read. */
function resolveFiles(environment: Environment, problems: string[]): Record<string, string> {
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) if (isSetting(name) && value) given[name] = value;
  for (const name of FROM_FILE) {
    const path = given[`${name}_FILE`];
    if (path === undefined) continue;
    if (given[name] !== undefined) problems.push(`${name} and ${name}_FILE are both set: keep one`);
    const content = readInput(`${name}_FILE`, path, problems);
    if (content !== undefined) given[name] = content.toString('utf8').trim();
  }
  return given;
}

function readKey(given: Environment, problems: string[]): SecretBytes<'root-key'> | undefined {
  const inline = given['MINIKMS_ROOT_KEY'];
  const path = given['MINIKMS_ROOT_KEY_FILE'];
  if (inline !== undefined && path !== undefined) {
    problems.push('MINIKMS_ROOT_KEY and MINIKMS_ROOT_KEY_FILE are both set: keep the file');
    return undefined;
  }
  if (inline === undefined && path === undefined) {
    problems.push(
      'MINIKMS_ROOT_KEY_FILE is not set: it names a file with the root key, 64 hexadecimal digits (openssl rand -hex 32)',
    );
    return undefined;
  }
  const content = path === undefined ? Buffer.from(inline ?? '') : readInput('MINIKMS_ROOT_KEY_FILE', path, problems);
  if (content === undefined) return undefined;
  const key = readRootKey(content);
  content.fill(0);
  if (key === undefined) {
    const name = path === undefined ? 'MINIKMS_ROOT_KEY must be' : 'MINIKMS_ROOT_KEY_FILE must name a file with';
    problems.push(`${name} 64 hexadecimal digits (openssl rand -hex 32)`);
  }
  return key;
}

function readTls(given: Environment, problems: string[]): TlsFiles | undefined {
  const names = ['MINIKMS_TLS_CERT_FILE', 'MINIKMS_TLS_KEY_FILE', 'MINIKMS_TLS_CA_FILE'] as const;
  const enabled = given['MINIKMS_TLS_ENABLED'] === 'true' || given['MINIKMS_TLS_ENABLED'] === '1';
  if (!enabled) {
    // A certificate that is given and not used is a server in clear by mistake.
    for (const name of names)
      if (given[name]) problems.push(`${name} is set but MINIKMS_TLS_ENABLED is not true: set it`);
    return undefined;
  }
  const [cert, key, ca] = names.map((name) => {
    const path = given[name];
    if (path !== undefined) return readInput(name, path, problems);
    if (name !== 'MINIKMS_TLS_CA_FILE') problems.push(`${name} is not set: MINIKMS_TLS_ENABLED needs it, a PEM file`);
    return undefined;
  });
  return cert === undefined || key === undefined ? undefined : { cert, key, ca };
}

/** What would let strangers in. Only TLS can be waived, and only by name. */
function unsafe(given: Environment, development: boolean, host: string | undefined): string[] {
  const found: string[] = [];
  const loopback = host !== undefined && LOOPBACK.test(host);
  if (development) {
    if (host !== undefined && !loopback)
      found.push('MINIKMS_GRPC_ADDR must be a loopback address with --dev: everybody who reaches it is an operator');
    return found;
  }
  if (
    given['MINIKMS_OPERATOR_TOKEN_SHA256'] === undefined &&
    given['MINIKMS_OPERATOR_TOKEN_SHA256_FILE'] === undefined
  ) {
    found.push(
      'MINIKMS_OPERATOR_TOKEN_SHA256 is not set: nobody could call. Make a token (openssl rand -hex 32) and set its SHA-256 (printf %s "$TOKEN" | sha256sum)',
    );
  }
  const enabled = given['MINIKMS_TLS_ENABLED'] === 'true' || given['MINIKMS_TLS_ENABLED'] === '1';
  const waived = given['MINIKMS_ALLOW_INSECURE'] === 'true' || given['MINIKMS_ALLOW_INSECURE'] === '1';
  if (!enabled && !loopback && !waived) {
    found.push(
      'MINIKMS_TLS_ENABLED is not true, and MINIKMS_GRPC_ADDR is reachable from outside: give a certificate (MINIKMS_TLS_CERT_FILE, MINIKMS_TLS_KEY_FILE), or set MINIKMS_ALLOW_INSECURE=true where something in front does TLS',
    );
  }
  return found;
}

function readInput(name: string, path: string, problems: string[]): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    problems.push(`${name} names a file that cannot be read (${code})`);
    return undefined;
  }
}

/** `host:port`, `[v6]:port` or `:port` for every address of the machine. */
function parseAddress(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const host = match[1] ?? (match[2] === '' ? '0.0.0.0' : (match[2] as string));
  const port = Number(match[3]);
  return port <= 65_535 && (isIP(host) > 0 || host === 'localhost') ? { host, port } : undefined;
}
