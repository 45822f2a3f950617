// Reads what h2load prints. It knows HTTP, not gRPC: that the calls succeeded shows in the bytes of their answers.
import { readFileSync } from 'node:fs';

export const H2LOAD_HEADERS = ['-H', 'content-type: application/grpc', '-H', 'te: trailers'];

const UNITS: Readonly<Record<string, number>> = { us: 1e-6, ms: 1e-3, s: 1 };

export function readH2load(output: string): { seconds: number; succeeded: number; dataBytes: number } {
  // finished in 2.21s, 13567.29 req/s, 7.62MB/s
  // requests: 30000 total, 30000 started, 30000 done, 30000 succeeded, 0 failed, 0 errored, 0 timeout
  // traffic: 16.85MB (17670180) total, 1.98MB (2070120) headers (space savings 79.28%), 12.85MB (13470000) data
  const finished = /finished in ([\d.]+)(us|ms|s), ([\d.]+) req\/s/.exec(output);
  const succeeded = /(\d+) done, (\d+) succeeded/.exec(output);
  const data = /\((\d+)\) data/.exec(output);
  if (finished === null || succeeded === null || data === null)
    throw new Error(`h2load said something new:\n${output}`);
  const rate = Number(finished[3]);
  const done = Number(succeeded[1]);
  // The time is printed with two decimals, the rate more precisely.
  const seconds = rate > 0 ? done / rate : Number(finished[1]) * (UNITS[finished[2] as string] as number);
  return { seconds, succeeded: Number(succeeded[2]), dataBytes: Number(data[1]) };
}

/** Of its log: start in microseconds, HTTP status, microseconds that the answer took; tabs between. */
export function readLatencies(file: string): number[] {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => Number(line.split('\t')[2]) / 1000).toSorted((a, b) => a - b);
}
