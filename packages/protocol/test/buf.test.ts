import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const image = join(root, 'buf.image.binpb');

/** Exit code and output of a buf command in a folder. */
function buf(folder: string, ...args: string[]): Promise<{ code: unknown; output: string }> {
  const program = join(root, 'node_modules', '.bin', 'buf');
  return new Promise((resolve) => {
    execFile(program, args, { cwd: folder }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, output: `${stdout}${stderr}` });
    });
  });
}

test('the proto files pass buf lint', async () => {
  expect(await buf(root, 'lint')).toEqual({ code: 0, output: '' });
});

test('the proto files break nothing of the committed image', async () => {
  expect(await buf(root, 'breaking', '--against', image)).toEqual({ code: 0, output: '' });
});

describe('buf breaking refuses', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'minikms-buf-'));
    cpSync(join(root, 'buf.yaml'), join(folder, 'buf.yaml'));
    cpSync(join(root, 'proto'), join(folder, 'proto'), { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const changes: readonly (readonly [name: string, from: string, to: string, rule: RegExp])[] = [
    ['a field with another number', 'bytes plaintext = 3;', 'bytes plaintext = 9;', /field "3".*was deleted/],
    ['a field with another name', 'bytes plaintext = 3;', 'bytes clear = 3;', /changed name from "plaintext"/],
    ['a field of another type', 'bytes plaintext = 3;', 'string plaintext = 3;', /changed type from "bytes"/],
    ['an RPC that is gone', 'rpc ReEncrypt(', 'rpc Recrypt(', /RPC "ReEncrypt".*was deleted/],
    ['another package', 'package minikms.v1;', 'package minikms.v2;', /package.*changed/i],
  ];
  test.each(changes)('%s', async (_name, from, to, rule) => {
    const file = join(folder, 'proto', 'minikms', 'v1', 'kms.proto');
    const source = readFileSync(file, 'utf8');
    expect(source).toContain(from);
    writeFileSync(file, source.replace(from, to));
    const { code, output } = await buf(folder, 'breaking', '--against', image);
    expect(code).not.toBe(0);
    expect(output).toMatch(rule);
  });
});
