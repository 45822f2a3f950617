#!/usr/bin/env node
import './heap.ts';
import { parseArgs } from 'node:util';
import type { Logger } from 'pino';
import { Keyring, openRoot, RowCache, serverKey, verifyRoot } from '@minikms/key-hierarchy';
import { migrate, openStore } from '@minikms/store-prisma';
import { developmentBanner, startFailure, USAGE, version } from './banner.ts';
import { redisCache } from './cache.ts';
import { openAudit, type ServerAudit } from './audit/audit-log.ts';
import { ChangeFeed } from './changes.ts';
import { commandOf } from './commands.ts';
import { type Config, readConfig } from './config.ts';
import { every } from './every.ts';
import { hinting } from './hinting.ts';
import { openLog, standardOutput } from './log.ts';
import { identifier } from './rpc/identify.ts';
import { listen } from './server.ts';
import { onStopSignal } from './signals.ts';

const now = (): number => performance.now();

async function main(): Promise<void> {
  const options = {
    dev: { type: 'boolean' },
    'check-config': { type: 'boolean' },
    version: { type: 'boolean' },
    help: { type: 'boolean' },
  } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (values.help === true) return void process.stdout.write(USAGE);
  if (values.version === true) return void process.stdout.write(`${version()}\n`);
  const command = commandOf(positionals);

  const config = readConfig(process.env, values.dev === true);
  // Children and crash reports get the environment; the root key is read by now.
  delete process.env['MINIKMS_ROOT_KEY'];
  if (values['check-config'] === true) return void process.stdout.write('the configuration is good\n');
  const out = standardOutput();
  const log = openLog(config.logLevel, out);
  for (const name of config.unknown) log.warn({ name }, 'this variable means nothing to this server');
  if (config.allowInsecure && config.tls === undefined && !config.development)
    log.warn('serving without TLS: MINIKMS_ALLOW_INSECURE is true');

  const migrated = await bringUp(config, log);
  let appended: ServerAudit['appended'] = () => {};
  const store = await openStore({
    url: config.dbUrl,
    maxConnections: config.dbConnections,
    onError: (error) => log.warn({ reason: error.message }, 'lost a connection to the database'),
    onAppend: (entry, head) => appended(entry, head),
  });
  await store.installation.stamp(config.development ? 'development' : 'production');
  const root = openRoot(config.rootKey, config.hkdfSalt);
  await verifyRoot(store.roots, root);
  let healthy = true;
  let tellHealth = (): void => {};
  const audit = await openAudit({ config: config.audit, root, store, log, onIncident: () => tellHealth() });
  appended = (entry, head) => audit.appended(entry, head);
  // A log that is behind takes no entry before it was recovered.
  await command?.(audit, (text) => out.write(text));
  for (const name of migrated) await audit.system('server.migrate', { migration: name, version: version() });
  if (command !== undefined) {
    await audit.close();
    await store.close();
    return out.flush(config.shutdownTimeoutMs);
  }
  const ownsAuditLog = await store.ownsAuditLog();
  if (ownsAuditLog && !config.development)
    log.warn('the role of MINIKMS_DB_URL owns the audit log, and could change it: see MINIKMS_MIGRATE_DB_URL');
  const { checkpointDir, checkpointUrl, witnesses } = config.audit;
  if (!config.development && (checkpointDir ?? checkpointUrl ?? witnesses) === undefined)
    log.warn(
      'a database put back to an older state would not be noticed after a restart: see MINIKMS_AUDIT_CHECKPOINT_DIR',
    );

  await audit.compare();
  const changes = new ChangeFeed({
    log: store.changes,
    intervalMs: 250,
    staleAfterMs: 1000,
    horizonMs: 2 * 300_000,
    now,
    onHealth: (isHealthy, error) => {
      healthy = isHealthy;
      tellHealth();
      if (!healthy) log.error({ err: error }, 'the database does not answer: calls fail until it is back');
    },
  });
  await changes.start();
  const cache = config.redisUrl === undefined ? undefined : redisCache(config.redisUrl, log, () => void changes.poll());
  const rows = cache && new RowCache(cache, serverKey(root, 'row-cache-mac'), Date.now);
  const keyring = new Keyring({
    root,
    store: hinting(store.keys, () => cache?.hint()),
    changes,
    rows,
    maxEncryptions: config.maxEncryptions,
    cacheSize: config.keyCacheSize,
    cacheTtlMs: config.keyCacheTtlMs,
    now,
    changeEntry: audit.trail.changeEntry,
    onAutoRotation: ({ error, ...rotation }) => {
      if (error === undefined) log.info(rotation, 'key rotated: its budget is nearly used');
      else log.error({ ...rotation, err: error }, 'automatic key rotation failed; it will be tried again');
    },
  });
  const jobs = [
    every(1000, () => keyring.recordUses().catch(() => log.debug('uses not recorded; they stay counted'))),
    every(30_000, () => keyring.sweep()),
    every(600_000, () => store.changes.prune(3_600_000).catch(() => log.debug('change log not pruned'))),
  ];

  await audit.system('server.start', {
    version: version(),
    mode: config.development ? 'development' : 'production',
    configuration: config.fingerprint,
    owns_audit_log: ownsAuditLog,
    checkpoints: checkpointDir === undefined ? 'memory' : 'directory',
  });
  audit.start();
  const server = await listen(
    config,
    { keyring, limits: config.limits, auditLog: audit },
    identifier({
      operatorTokenSha256: config.operatorTokenSha256,
      allowAnonymous: config.development,
      checksCertificates: config.tls?.ca !== undefined,
    }),
    {
      // One kind of principal, which may do everything.
      authorize: () => {},
      audit: audit.trail,
    },
  );
  tellHealth = () => server.setServing(healthy && !audit.hasIncident);
  tellHealth();
  log.info(
    { address: config.address.host, port: server.port, tls: config.tls !== undefined, version: version() },
    'serving',
  );
  if (config.development) out.write(developmentBanner(server.port));

  const stop = async (reason: string): Promise<void> => {
    log.info({ reason }, 'stopping');
    tellHealth = () => {};
    server.setServing(false);
    await server.drain(config.shutdownTimeoutMs);
    for (const job of jobs) job.stop();
    await changes.stop();
    await keyring
      .close()
      .catch((error: unknown) => log.warn({ err: error }, 'the last uses of keys were not recorded'));
    await audit
      .system('server.stop', { reason })
      .catch((error: unknown) => log.warn({ err: error }, 'the stop is not in the audit log'));
    await audit.close();
    await cache?.close();
    await store.close();
    root.secret.destroy();
    log.info('stopped');
    if (config.development) out.write('  miniKMS stopped\n');
    await out.flush(2000);
  };
  onStopSignal(stop);
}

/** The migrations that were applied now. With a role of its own for that, the serving role cannot. */
async function bringUp({ dbUrl, migrateDbUrl }: Config, log: Logger): Promise<readonly string[]> {
  const applied = await migrate(migrateDbUrl ?? dbUrl, migrateDbUrl === undefined ? {} : { serving: dbUrl });
  for (const name of applied) log.info({ migration: name }, 'database migrated');
  return applied;
}

main().catch((error: unknown) => {
  const { message, exitCode } = startFailure(error);
  process.stderr.write(message);
  process.exit(exitCode);
});
