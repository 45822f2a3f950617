// Reads a .cpuprofile: which functions the samples were taken in.
interface Node {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
}

interface CpuProfile {
  readonly nodes: readonly Node[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface Self {
  readonly name: string;
  readonly place: string;
  readonly owner: string;
  /** Of the time that was not idle. */
  readonly share: number;
  readonly microseconds: number;
}

/** Time spent in each function itself, the largest first; not what was idle, nor the first `skipMs` of starting up. */
export function selfTimes(json: string, skipMs: number): Self[] {
  const { nodes, samples, timeDeltas } = JSON.parse(json) as CpuProfile;
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const times = new Map<string, { frame: Node['callFrame']; time: number }>();
  let clock = 0;
  let total = 0;
  for (const [i, id] of samples.entries()) {
    const time = timeDeltas[i] ?? 0;
    const frame = frames.get(id);
    clock += time;
    if (clock < skipMs * 1000 || frame === undefined || frame.functionName === '(idle)') continue;
    total += time;
    const key = `${frame.functionName} ${frame.url} ${frame.lineNumber}`;
    const entry = times.get(key);
    if (entry === undefined) times.set(key, { frame, time });
    else entry.time += time;
  }
  return [...times.values()]
    .toSorted((a, b) => b.time - a.time)
    .map(({ frame, time }) => ({
      name: frame.functionName || '(anonymous)',
      place: frame.url === '' ? '' : `${shortened(frame.url)}:${frame.lineNumber + 1}`,
      owner: ownerOf(frame),
      share: time / total,
      microseconds: time,
    }));
}

/** Whose code it is: a package of ours, one of node_modules, a module of Node, or the engine. */
function ownerOf({ url, functionName }: Node['callFrame']): string {
  const installed = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1];
  if (installed !== undefined) return installed;
  if (url.startsWith('node:')) return url.replace(/^node:internal\//, 'node:').replace(/\/.*/, '');
  const ours = /\/((?:packages|apps)\/[^/]+|bench)\//.exec(url)?.[1];
  if (ours !== undefined) return ours;
  return functionName.startsWith('(') ? functionName : '(native)';
}

function shortened(url: string): string {
  return url.replace(/^.*\/node_modules\//, '').replace(/^file:\/\/.*?\/(packages|apps|bench)\//, '$1/');
}
