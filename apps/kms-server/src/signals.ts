/**
 * Calls `stop` once, at SIGTERM, at Ctrl-C, or when the process that started this one with a channel is gone; then ends
 * the process. A second signal ends it at once.
 */
export function onStopSignal(stop: (reason: string) => Promise<void>): void {
  let stopping = false;
  let signalled = false;
  const begin = (reason: string): void => {
    // Only a second signal is a person's impatience: a channel closes whenever it likes.
    if (signalled && reason !== 'disconnect') process.exit(130);
    signalled ||= reason !== 'disconnect';
    if (stopping) return;
    stopping = true;
    stop(reason).then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(
          `kms-server did not stop cleanly: ${error instanceof Error ? error.message : String(error)}\n`,
        );
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => begin('SIGTERM'));
  process.on('SIGINT', () => begin('SIGINT'));
  process.on('disconnect', () => begin('disconnect'));
}
