import { pnpm, Refusal } from './workspace-root.mjs';

/** Generates and builds what changed. */
export async function build() {
  // Nothing to say when all of it is in Turbo's cache.
  const notice = setTimeout(() => process.stderr.write('Building…\n'), 2500);
  const turbo = ['exec', 'turbo', 'run', 'build', '--output-logs=errors-only', '--no-color', '--no-update-notifier'];
  const { ok, output } = await pnpm(turbo, { TURBO_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1' });
  clearTimeout(notice);
  if (!ok) throw new Refusal(`${output}\nThe build failed.`);
}
