// Verifies an export as the auditor's command does, in a process of its own: makes one of so many entries in a file, then
// for each message reads and verifies the whole of it, and answers with the seconds that it took.
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { SecretBytes, Signer } from '@minikms/crypto-core';
import { placed, syntheticEntry } from './audit-log.ts';
import { encodeCheckpointLine, encodeLine, formatOrigin, leafHash, signCheckpoint } from './product.ts';
import { TreeFrontier, verifierKey, verifyExport } from './product.ts';

const LOG = 'bench.example/audit';
const TENANT = 'bench-export';
/** Lines that are written at once. */
const CHUNK = 1000;

const [file = '', count = ''] = process.argv.slice(2);
const entries = Number(count);
const signer = Signer.fromSeed(SecretBytes.from('signing-seed', randomBytes(32)));
const keys = [verifierKey(LOG, signer.publicKey)];

function* lines(): Generator<string> {
  const tree = new TreeFrontier();
  let previous: Uint8Array = new Uint8Array(32);
  let text = '';
  for (let seq = 1; seq <= entries; seq++) {
    const entry = placed(syntheticEntry(TENANT, seq), seq, previous);
    tree.append(leafHash(entry.entryHash));
    text += `${encodeLine(entry)}\n`;
    previous = entry.entryHash;
    if (seq % CHUNK !== 0) continue;
    yield text;
    text = '';
  }
  const origin = formatOrigin({ log: LOG, tenantId: TENANT, epoch: 1 });
  const note = signCheckpoint({ origin, size: entries, root: tree.root() }, [{ name: LOG, signer }]);
  yield `${text}${encodeCheckpointLine(note)}\n`;
}

async function verify(): Promise<number> {
  const began = performance.now();
  const report = await verifyExport(createReadStream(file, { highWaterMark: 1 << 20 }), { keys });
  const seconds = (performance.now() - began) / 1000;
  if (report.verdict !== 'good' || report.covered !== entries) {
    throw new Error(`a good export of ${entries} entries is ${report.verdict}, with ${report.covered} covered`);
  }
  return seconds;
}

await pipeline(lines, createWriteStream(file));
process.send?.({ pid: process.pid });
process.on('message', () => {
  void verify().then((seconds) => process.send?.({ seconds }, () => undefined));
});
process.once('disconnect', () => process.exit(0));
process.on('SIGINT', () => undefined);
