import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { logAudit } from '../src/rpc/audit.ts';
import { failureOf } from '../src/rpc/status.ts';
import { openLog } from '../src/log.ts';

function setup(level: string) {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  return { log: openLog(level, sink), lines };
}

const event = { action: 'kms.encrypt', requestId: 'r-1', principal: undefined, tenantId: 'acme', scopeId: 'app' };

describe('the log', () => {
  it('cuts out what could be a secret', () => {
    const { log, lines } = setup('info');
    log.info({ token: 'secret-1', request: { plaintext: 'secret-2', key: 'secret-3' }, url: 'postgres://u:secret-4@h' }, 'x');
    expect(lines.join()).not.toContain('secret-');
    expect(lines.join()).toContain('[redacted]');
  });

  it('has a line with the request id for refusals and faults, with the cause for faults only', () => {
    const { log, lines } = setup('info');
    const audit = logAudit(log);
    const fault = new Error('the inside');
    void audit.record(event, failureOf(fault), { error: fault, peer: '127.0.0.1:1' });
    void audit.record(event, undefined, undefined);
    const written = lines.map((line) => JSON.parse(line) as object);
    expect(written).toHaveLength(1);
    expect(written[0]).toMatchObject({ level: 'error', requestId: 'r-1', code: 'INTERNAL', err: { message: 'the inside' } });
    expect(failureOf(fault).message).not.toContain('inside');
  });
});
