import { Writable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ServerError } from '../src/errors.ts';
import { callLog } from '../src/rpc/call-log.ts';
import { callEvent } from '../src/rpc/unary.ts';
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

const event = { ...callEvent('kms.encrypt', undefined, () => '127.0.0.1:1'), requestId: 'r-1', tenantId: 'acme' };

afterEach(() => {
  vi.useRealTimers();
});

describe('the log', () => {
  it('cuts out what could be a secret', () => {
    const { log, lines } = setup('info');
    log.info(
      { token: 'secret-1', request: { plaintext: 'secret-2', key: 'secret-3' }, url: 'postgres://u:secret-4@h' },
      'x',
    );
    expect(lines.join()).not.toContain('secret-');
    expect(lines.join()).toContain('[redacted]');
  });

  it('has a line with the request id for refusals and faults, with the cause for faults only', () => {
    const { log, lines } = setup('info');
    const told = callLog(log);
    const fault = new Error('the inside');
    told(event, failureOf(fault), fault);
    told(event, undefined, undefined);
    const written = lines.map((line) => JSON.parse(line) as object);
    expect(written).toHaveLength(1);
    expect(written[0]).toMatchObject({
      level: 'error',
      requestId: 'r-1',
      code: 'INTERNAL',
      err: { message: 'the inside' },
    });
    expect(failureOf(fault).message).not.toContain('inside');
  });

  it('has twenty lines a second of each sort, and then the count of the others by code', () => {
    vi.useFakeTimers();
    const { log, lines } = setup('info');
    const told = callLog(log);
    const record = (
      code: 'INTERNAL' | 'LIMIT_EXCEEDED' | 'PERMISSION_DENIED' | 'UNAUTHENTICATED',
      times: number,
    ): void => {
      const error = new ServerError(code, 'x');
      for (let i = 0; i < times; i++) told(event, failureOf(error), error);
    };
    const taken = (): [number, object[]] => {
      const written = lines.splice(0).map((line) => JSON.parse(line) as Record<string, unknown>);
      return [written.filter(({ code }) => code !== undefined).length, written.filter(({ leftOut }) => leftOut)];
    };
    record('UNAUTHENTICATED', 10_000);
    expect(taken()).toEqual([20, []]);
    // Strangers hide neither callers nor faults.
    record('PERMISSION_DENIED', 21);
    record('LIMIT_EXCEEDED', 2);
    record('INTERNAL', 21);
    expect(taken()).toEqual([40, []]);
    vi.advanceTimersByTime(1000);
    expect(taken()).toEqual([
      0,
      [
        expect.objectContaining({ level: 'warn', leftOut: { UNAUTHENTICATED: 9980 } }),
        expect.objectContaining({ level: 'warn', leftOut: { PERMISSION_DENIED: 1, LIMIT_EXCEEDED: 2 } }),
        expect.objectContaining({ level: 'error', leftOut: { INTERNAL: 1 } }),
      ],
    ]);
    record('UNAUTHENTICATED', 1);
    expect(taken()).toEqual([1, []]);
    vi.advanceTimersByTime(5000);
    expect(taken()).toEqual([0, []]);
  });
});
