// What the operating system says of a process.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const linux = process.platform === 'linux';

/** Memory in use, in bytes (resident set). */
export function residentBytes(pid: number): number {
  const kibibytes = linux
    ? /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    : execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' });
  return Number(kibibytes) * 1024;
}

// sysconf(_SC_CLK_TCK), which is 100 on every Linux that Node runs on.
const TICKS_A_SECOND = 100;

/** Processor time used so far by all threads, in seconds; `undefined` where it is not known this precisely. */
export function processorSeconds(pid: number): number | undefined {
  if (!linux) return undefined;
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field, the name, may hold spaces. utime and stime are the 14th and 15th.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}
