import { readFileSync } from 'node:fs';
import { KmsError } from '@minikms/crypto-core';
import { ConfigError } from './config.ts';

/** What a person sees when a development server is ready: what it is, and one command to try. */
export function developmentBanner(port: number): string {
  const bytes = Buffer.from('hello').toString('base64');
  return `
  miniKMS development server on 127.0.0.1:${port}
  Not for production: no TLS, and every local caller is an operator.

  Try it, in another terminal:

    npm run example

  or, with grpcurl (bytes are base64):

    grpcurl -plaintext -d '{"tenant_id":"acme","scope_id":"app","plaintext":"${bytes}"}' \\
      127.0.0.1:${port} minikms.v1.KMSService/Encrypt

  Ctrl-C stops it; keys and data stay in .minikms/
`;
}

/** What a person is told of a start that failed. */
export function startFailure(error: unknown): string {
  if (error instanceof ConfigError) {
    return ['kms-server cannot start with this configuration:', ...error.problems.map((problem) => `  - ${problem}`), ''].join('\n');
  }
  if (error instanceof KmsError) return `kms-server cannot start: ${error.message} (${error.code})\n`;
  if (error instanceof TypeError && 'code' in error) return `kms-server: ${error.message}\n${USAGE}`;
  return `kms-server cannot start: ${error instanceof Error ? error.message : String(error)}\n`;
}

/** The version of this package. */
export function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return String((manifest as { version: unknown }).version);
}

export const USAGE = `kms-server [--dev] [--check-config]    serve (the default)
kms-server migrate                      bring the database to this version's schema, and stop

  --dev           development mode: loopback only, callers without credentials are operators
  --check-config  report what is wrong with the configuration, and stop
  --version, --help

Configured by MINIKMS_* variables; see the README.
`;

