import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const folder = resolve(root, process.env['MINIKMS_VECTORS_DIR'] ?? '../shared/vectors');

/** For `describe.skipIf`. The primitives are proven by the cases inside this package all the same. */
export const vectorsAbsent: boolean = !existsSync(folder);

if (vectorsAbsent) {
  console.warn(`\n*** PUBLIC TEST VECTORS SKIPPED: no folder ${folder} (set MINIKMS_VECTORS_DIR) ***\n`);
}

/** A text file of the vector folder; `''` when the folder is absent and the tests are skipped. */
export function vectorText(path: string): string {
  return vectorsAbsent ? '' : readFileSync(join(folder, path), 'utf8');
}

/** A JSON file of the vector folder. When the folder is absent nothing may be read from the result. */
export function vectorJson<T>(path: string): T {
  return JSON.parse(vectorsAbsent ? '{}' : vectorText(path)) as T;
}

/** Blank-line-independent `NAME = value` records of a NIST-style file, a new one at each COUNT. */
export function records(text: string): Record<string, string>[] {
  const out: Record<string, string>[] = [];
  for (const line of text.split('\n')) {
    const match = /^(\w+)\s*=\s*(\S*)\s*$/.exec(line);
    if (match === null) continue;
    if (match[1] === 'COUNT') out.push({});
    out.at(-1)![match[1]!] = match[2]!;
  }
  return out;
}
