// The load generator: h2load where it is installed, else the bundled one. Both send a fixed number of requests, so that
// what the server counted can be compared with what was sent.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { H2LOAD_HEADERS, readH2load, readLatencies } from './h2load.ts';
import type { Call } from './requests.ts';
import type { Stage } from './stage.ts';

/** Connections, and streams that each keeps in flight. */
export interface Shape {
  readonly connections: number;
  readonly streams: number;
}

export const BUSY: Shape = { connections: 4, streams: 16 };
/** Many callers, as many calls in flight as an audit log is measured with. */
export const WIDE: Shape = { connections: 8, streams: 32 };
export const ALONE: Shape = { connections: 1, streams: 1 };

export interface Run {
  readonly seconds: number;
  /** Milliseconds of each call, in order of size; empty unless asked for. */
  readonly latencies: readonly number[];
}

export interface Generator {
  readonly name: string;
  /** Sends so many requests to a port. @throws Error unless every one succeeds with an answer of the expected size. */
  run(port: number, call: Call, shape: Shape, requests: number, latencies?: boolean): Promise<Run>;
}

/** @param wanted `h2load` or `bundled`; without it whichever there is. */
export function openGenerator(stage: Stage, wanted: string | undefined): Generator {
  const version = spawnSync('h2load', ['--version'], { encoding: 'utf8' });
  const installed = version.status === 0;
  if (wanted === 'h2load' && !installed) throw new Error('h2load is not installed (Debian: nghttp2-client)');
  return installed && wanted !== 'bundled' ? h2load(stage, version.stdout.trim()) : bundled(stage);
}

let files = 0;

function h2load(stage: Stage, name: string): Generator {
  return {
    name,
    async run(port, call, shape, requests, latencies = false) {
      const frame = frameFile(stage, call);
      const log = `${frame}.log`;
      const args = [
        '-t',
        '1',
        '-c',
        String(shape.connections),
        '-m',
        String(shape.streams),
        '-n',
        String(requests),
        '-d',
        frame,
      ];
      if (latencies) args.push('--log-file', log);
      const output = await outputOf(stage, 'h2load', [
        ...args,
        ...H2LOAD_HEADERS,
        `http://127.0.0.1:${port}${call.path}`,
      ]);
      const { seconds, succeeded, dataBytes } = readH2load(output);
      checkAll(name, call, requests, succeeded, dataBytes);
      return { seconds, latencies: latencies ? readLatencies(log) : [] };
    },
  };
}

function bundled(stage: Stage): Generator {
  const name = 'bundled (node:http2)';
  return {
    name,
    async run(port, { path, ...call }, { connections, streams }, requests, latencies = false) {
      const job = { port, path, frameFile: frameFile(stage, call), connections, streams, requests, latencies };
      const program = join(import.meta.dirname, 'load.ts');
      const output = await outputOf(stage, process.execPath, [program, JSON.stringify(job)]);
      const run = JSON.parse(output) as Run & { succeeded: number; dataBytes: number };
      checkAll(name, call, requests, run.succeeded, run.dataBytes);
      return run;
    },
  };
}

function frameFile(stage: Stage, { frame }: Pick<Call, 'frame'>): string {
  const file = join(stage.folder, `frame-${++files}`);
  writeFileSync(file, frame);
  return file;
}

async function outputOf(stage: Stage, program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  stage.lend(child);
  const [output, [status]] = await Promise.all([text(child.stdout), once(child, 'close') as Promise<[number | null]>]);
  if (status !== 0) throw new Error(`${program} failed: ${output}`);
  return output;
}

function checkAll(
  name: string,
  call: Pick<Call, 'answerBytes'>,
  requests: number,
  succeeded: number,
  dataBytes: number,
): void {
  const expected = requests * call.answerBytes;
  if (succeeded !== requests || dataBytes !== expected) {
    throw new Error(
      `${name}: ${succeeded} of ${requests} calls succeeded, with ${dataBytes} bytes of answers instead of ${expected}`,
    );
  }
}
