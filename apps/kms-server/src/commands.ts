import { verifySubject } from '@minikms/audit-chain';
import { checkId } from '@minikms/key-hierarchy';
import type { ServerAudit } from './audit/audit-log.ts';
import { recoverLogs } from './audit/recover.ts';
import { SYSTEM } from './rpc/audit.ts';

interface Command {
  /** How many arguments it takes, at least and at most. */
  readonly takes: readonly [number, number];
  /** Writes what it did to `tell`. */
  run(audit: ServerAudit, args: readonly string[], tell: (text: string) => void): Promise<void>;
}

/** What runs to its end on an open database, in place of serving. */
const COMMANDS: Readonly<Record<string, Command>> = {
  // Opening has done it.
  migrate: { takes: [0, 0], run: async () => {} },
  'audit recover': {
    takes: [0, 1],
    async run(audit, [tenantId], tell) {
      if (tenantId !== undefined) checkTenant(tenantId);
      const begun = await recoverLogs(audit, tenantId, tell);
      if (begun === 0) tell('no audit log is behind what was signed for: nothing to do\n');
    },
  },
  'audit subject': {
    takes: [2, 2],
    async run({ store }, [tenantId = '', id = ''], tell) {
      checkTenant(tenantId);
      const subject = await store.find(tenantId, id);
      if (subject === undefined) return tell('this log has no such subject, or it was erased\n');
      const { kind, label, salt } = subject;
      if (!verifySubject(id, salt, label)) return tell('the row of this subject was changed: it proves nothing\n');
      tell(`${kind} ${JSON.stringify(label)}\nsalt ${Buffer.from(salt).toString('hex')}\n`);
    },
  },
  'audit erase': {
    takes: [1, 2],
    async run(audit, [label = '', tenantId], tell) {
      if (tenantId !== undefined) checkTenant(tenantId);
      const erased = await audit.store.erase(tenantId, label);
      // Who was erased is nowhere any more.
      await audit.system('audit.erase', { erased, ...(tenantId !== undefined && { tenant: tenantId }) });
      tell(`${erased} subject${erased === 1 ? '' : 's'} erased; every proof of the log still holds\n`);
    },
  },
};

/** The command that was typed, or `undefined` to serve. @throws TypeError for what is none. */
export function commandOf(
  words: readonly string[],
): ((audit: ServerAudit, tell: (text: string) => void) => Promise<void>) | undefined {
  if (words.length === 0 || (words.length === 1 && words[0] === 'serve')) return undefined;
  for (const length of [1, 2]) {
    const command = COMMANDS[words.slice(0, length).join(' ')];
    const args = words.slice(length);
    if (command !== undefined && args.length >= command.takes[0] && args.length <= command.takes[1])
      return (audit, tell) => command.run(audit, args, tell);
  }
  throw Object.assign(new TypeError(`unknown command: ${words.join(' ')}`), { code: 'USAGE' });
}

function checkTenant(tenantId: string): void {
  if (tenantId !== SYSTEM) checkId('the tenant', tenantId);
}
