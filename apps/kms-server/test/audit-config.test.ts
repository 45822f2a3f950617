import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from '../src/config.ts';

const GIVEN = {
  MINIKMS_GRPC_ADDR: '127.0.0.1:0',
  MINIKMS_DB_URL: 'postgresql://localhost/minikms',
  MINIKMS_ROOT_KEY: 'ab'.repeat(32),
};

function fingerprint(more: Record<string, string>): string {
  const config = readConfig({ ...GIVEN, ...more }, true);
  config.rootKey.destroy();
  return config.fingerprint;
}

/** What the configuration check says; nothing when it is good. */
function problems(more: Record<string, string>): string {
  try {
    fingerprint(more);
    return '';
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.join('\n');
    throw error;
  }
}

describe('the URL for checkpoints', () => {
  const check = (url: string) => problems({ MINIKMS_AUDIT_CHECKPOINT_URL: url });

  it.each([
    'https://witness.example.com/checkpoints',
    'http://127.0.0.1:8080/c',
    'http://localhost/',
    'http://[::1]:1/',
  ])('may be %s', (url) => expect(check(url)).toBe(''));

  it.each([
    'https://user:hunter2@witness.example.com/',
    'https://hunter2@witness.example.com/',
    'https://:hunter2@witness.example.com/',
    'http://witness.example.com/hunter2',
    'http://127.0.0.1.hunter2.example.com/',
    'http://localhost.hunter2.example.com/',
    'http://10.0.0.1/hunter2',
    'ftp://hunter2/',
    'hunter2',
  ])('may not be %s', (url) => {
    expect(check(url)).toContain('MINIKMS_AUDIT_CHECKPOINT_URL must be');
    expect(check(url)).not.toContain('hunter2');
  });
});

describe('the fingerprint of the configuration', () => {
  it('does not depend on what may be a secret', () => {
    const of = (part: string) =>
      fingerprint({
        MINIKMS_DB_URL: `postgresql://u:${part}@localhost/minikms`,
        MINIKMS_AUDIT_CHECKPOINT_URL: `https://example.com/${part}`,
        MINIKMS_HKDF_SALT: part,
      });
    expect(of('one')).toBe(of('two'));
  });

  it('depends on the rest', () => {
    const of = (seconds: string) => fingerprint({ MINIKMS_AUDIT_CHECKPOINT_SECONDS: seconds });
    expect(of('1')).not.toBe(of('2'));
  });
});
