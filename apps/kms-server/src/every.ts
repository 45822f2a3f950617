/** Runs a job again and again, `ms` milliseconds after it ended, until stopped. */
export function every(ms: number, job: () => void | Promise<unknown>): { stop(): void } {
  let timer: NodeJS.Timeout;
  let stopped = false;
  const next = (): void => {
    timer = setTimeout(async () => {
      await job();
      if (!stopped) next();
    }, ms);
    timer.unref();
  };
  next();
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
