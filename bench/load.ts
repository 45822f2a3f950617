// The bundled load generator, a process of its own: keeps a number of streams in flight over each of a number of
// sessions until the given number of requests is answered, and prints what it saw as JSON.
import { readFileSync } from 'node:fs';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';

interface Job {
  readonly port: number;
  readonly path: string;
  readonly frameFile: string;
  readonly connections: number;
  readonly streams: number;
  readonly requests: number;
  readonly latencies: boolean;
}

const job = JSON.parse(process.argv[2] ?? '') as Job;
const frame = readFileSync(job.frameFile);
const headers = {
  ':method': 'POST',
  ':path': job.path,
  'content-type': 'application/grpc',
  te: 'trailers',
};

const latencies: number[] = [];
let started = 0;
let succeeded = 0;
let dataBytes = 0;

/** Sends requests one after the other until none is left. */
async function keepSending(session: ClientHttp2Session): Promise<void> {
  while (started < job.requests) {
    started++;
    const begun = performance.now();
    if (await answered(session)) succeeded++;
    if (job.latencies) latencies.push(performance.now() - begun);
  }
}

/** Whether the call ended with grpc-status 0. */
function answered(session: ClientHttp2Session): Promise<boolean> {
  return new Promise((resolve) => {
    const stream = session.request(headers);
    let status: unknown;
    // Of an answer without a body the status is among the first headers.
    const note = (received: IncomingHttpHeaders): void => {
      status = received['grpc-status'] ?? status;
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('data', (data: Buffer) => {
      dataBytes += data.length;
    });
    stream.on('error', () => undefined);
    stream.once('close', () => resolve(status === '0'));
    stream.end(frame);
  });
}

const sessions = Array.from({ length: job.connections }, () => {
  const session = connect(`http://127.0.0.1:${job.port}`, { settings: { initialWindowSize: 2 ** 24 } });
  session.on('error', () => undefined);
  session.once('connect', () => session.setLocalWindowSize(2 ** 26));
  return session;
});
const begun = performance.now();
await Promise.all(sessions.flatMap((session) => Array.from({ length: job.streams }, () => keepSending(session))));
const seconds = (performance.now() - begun) / 1000;
for (const session of sessions) session.close();
process.stdout.write(JSON.stringify({ seconds, succeeded, dataBytes, latencies: latencies.toSorted((a, b) => a - b) }));
