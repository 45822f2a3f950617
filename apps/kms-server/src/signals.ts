/**
 * Calls `stop` once, at SIGTERM, at Ctrl-C, or when the process that started this one with a channel is gone; then ends
 * the process. A second signal ends it at once.
 */
export function onStopSignal(stop: (reason: string) => Promise<void>): void {
  let stopping = false;
  const begin = (reason: string): void => {
    if (stopping) {
      // The channel closes while a stop is under way too; only a person's impatience counts.
      if (reason !== 'disconnect') process.exit(130);
      return;
    }
    stopping = true;
    stop(reason).then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`kms-server did not stop cleanly: ${error instanceof Error ? error.message : String(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => begin('SIGTERM'));
  process.on('SIGINT', () => begin('SIGINT'));
  process.on('disconnect', () => begin('disconnect'));
}
