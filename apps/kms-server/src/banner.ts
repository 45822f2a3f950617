import { readFileSync } from 'node:fs';
import { KmsError } from '@minikms/crypto-core';
import { ConfigError } from './config.ts';

/** What a person sees when a development server is ready: what it is, and one command to try. */
export function developmentBanner(port: number): string {
  const address = port === 50_051 ? '' : `MINIKMS_ADDR=127.0.0.1:${port} `;
  return `
  miniKMS development server on 127.0.0.1:${port}
  Not for production: no TLS, and everybody on this machine is an operator.

  Try it, in another terminal:

    ${address}npm run example

  Ctrl-C stops it. Keys and data are kept.

`;
}

/** What a person is told of a start that failed, and the exit code: 2 for what was typed or configured, 1 otherwise. */
export function startFailure(error: unknown): { readonly message: string; readonly exitCode: number } {
  const exitCode = error instanceof ConfigError || isUsage(error) ? 2 : 1;
  return { message: failureText(error), exitCode };
}

function isUsage(error: unknown): error is Error {
  return error instanceof TypeError && 'code' in error;
}

function failureText(error: unknown): string {
  if (error instanceof ConfigError) {
    return [
      'kms-server cannot start with this configuration:',
      ...error.problems.map((problem) => `  - ${problem}`),
      '',
    ].join('\n');
  }
  if (error instanceof KmsError) return `kms-server cannot start: ${error.message} (${error.code})\n`;
  if (isUsage(error)) return `kms-server: ${error.message}\n${USAGE}`;
  return `kms-server cannot start: ${error instanceof Error ? error.message : String(error)}\n`;
}

/** The version of this package. */
export function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return String((manifest as { version: unknown }).version);
}

export const USAGE = `kms-server [--dev] [--check-config]    serve (the default)
kms-server migrate                      bring the database to this version's schema, and stop
kms-server audit recover [TENANT]       go on with audit logs that lost entries, as a new epoch
kms-server audit subject TENANT ID      who or what an id in the entries of a tenant's log stands for
kms-server audit erase LABEL [TENANT]   make the ids that stand for this label stand for nobody

  --dev           development mode: loopback only, callers without credentials are operators
  --check-config  report what is wrong with the configuration, and stop
  --version, --help

Configured by MINIKMS_* variables; see the README.
`;
