import { CryptoError } from '@minikms/crypto-core';
import { describe, expect, it } from 'vitest';
import { failure, isConflict, StoreError } from '../src/failure.ts';

const error = (fields: object, message = 'at db.internal:5432'): Error => Object.assign(new Error(message), fields);
/** What Prisma throws: its own code, and the adapter's error in `meta` or as the cause. */
const prisma = (cause: object): Error => error({ code: 'P2010', meta: { driverAdapterError: { cause } } });

describe('failure', () => {
  it.each([
    ...['08000', '08006', '25006', '53300', '57014', '57P01', '57P02', '57P03'].map((code) => error({ code })),
    ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND'].map((code) => error({ code })),
    ...['P1001', 'P1002', 'P1008', 'P1017', 'P2024'].map((code) => error({ code })),
    error({ code: 'ENOENT', syscall: 'connect' }),
    error({}, 'Connection terminated unexpectedly'),
    error({}, 'Connection terminated due to connection timeout'),
    error({}, 'timeout exceeded when trying to connect'),
    error({}, 'Query read timeout'),
    error({}, 'Client has encountered a connection error and is not queryable'),
    prisma({ kind: 'DatabaseNotReachable', host: 'db.internal' }),
    prisma({ kind: 'postgres', originalCode: '57P01' }),
    new Error('wrapped', { cause: error({ code: '57P01' }) }),
  ])('is STORE_UNAVAILABLE for %j', (cause) => {
    const told = failure(cause);
    expect(told).toBeInstanceOf(StoreError);
    expect(told).toMatchObject({ code: 'STORE_UNAVAILABLE', name: 'StoreError', cause });
    expect((told as Error).message).not.toContain('db.internal');
  });

  it.each([
    error({ code: '23505' }),
    error({ code: '28P01' }),
    error({ code: 'ENOENT', syscall: 'open' }),
    error({ code: 'P2002' }),
    new TypeError('x is not a function'),
    new CryptoError('LENGTH_INVALID', 'too long', { cause: error({ code: '57P01' }) }),
    'a string',
    undefined,
  ])('leaves %j as it is', (cause) => {
    expect(failure(cause)).toBe(cause);
  });

  it('survives an error that is its own cause', () => {
    const circular = error({});
    circular.cause = circular;
    expect(failure(circular)).toBe(circular);
  });
});

describe('isConflict', () => {
  it('knows serialization failures and deadlocks, of the driver and of Prisma', () => {
    expect(isConflict(error({ code: '40001' }))).toBe(true);
    expect(isConflict(error({ code: '40P01' }))).toBe(true);
    expect(isConflict(error({ code: 'P2034' }))).toBe(true);
    expect(isConflict(prisma({ kind: 'TransactionWriteConflict' }))).toBe(true);
    expect(isConflict(error({ code: '23505' }))).toBe(false);
  });
});
