import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/**
 * Runs a program in our place: the terminal is its, and we end after it, with its exit code, so that the shell's
 * prompt does not return before it is done.
 *
 * An `attached` program has an IPC channel to us and stops when that closes, which it does however we end. It is also
 * how we tell it to stop: npm repeats every signal that the terminal has already sent to all of us, and a program
 * should not have to guess whether a second Ctrl-C was meant.
 */
export function foreground(program, args, { cwd, env, attached }) {
  const child = spawn(program, args, {
    cwd,
    env,
    stdio: ['inherit', 'inherit', 'inherit', ...(attached ? ['ipc'] : [])],
  });
  const stop = (signal) => {
    if (attached) {
      if (child.connected) child.disconnect();
      return;
    }
    // From a terminal the child has it already.
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, stop);
  if (attached && process.env.npm_lifecycle_event !== undefined) whenOrphaned(() => stop('SIGTERM'));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status, signal) => resolve(status ?? 128 + constants.signals[signal]));
  });
}

/** Under npm our parent is npm, or its shell: when that was killed, nobody could stop us by the pid they know. */
function whenOrphaned(stop) {
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    stop();
  }, 500);
  watch.unref();
}
