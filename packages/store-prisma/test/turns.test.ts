import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { turns } from '../src/turns.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it('lets so many go on at once, and the others in the order in which they came, whatever becomes of the work', async () => {
  const inTurn = turns(2);
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const works = Array.from({ length: 6 }, (_, index) =>
    inTurn(async () => {
      begun.push(index);
      await new Promise<void>((resolve) => ends.push(resolve));
      if (index % 2 === 1) throw new Error(`work ${index}`);
      return index;
    }),
  );
  const settled = Promise.allSettled(works);
  for (let ended = 0; ended < 6; ended++) {
    await vi.advanceTimersByTimeAsync(1);
    expect(begun).toEqual([0, 1, 2, 3, 4, 5].slice(0, ended + 2));
    ends[ended]?.();
  }
  expect((await settled).map(({ status }) => status === 'fulfilled')).toEqual([true, false, true, false, true, false]);
  expect(vi.getTimerCount()).toBe(0);
  expect(await inTurn(() => Promise.resolve('again'))).toBe('again');
});

it('is STORE_UNAVAILABLE after 2 seconds of waiting, and the turn goes to the next', async () => {
  const inTurn = turns(1);
  let end = (): void => undefined;
  const long = inTurn(() => new Promise<void>((resolve) => (end = resolve)));
  const work = vi.fn(() => Promise.resolve());
  const late = expect(inTurn(work)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  await vi.advanceTimersByTimeAsync(1_999);
  const next = inTurn(() => Promise.resolve('next'));
  await vi.advanceTimersByTimeAsync(1);
  await late;
  end();
  await long;
  expect(await next).toBe('next');
  expect(work).not.toHaveBeenCalled();
});

it('is STORE_UNAVAILABLE at once where 5,000 wait', async () => {
  const inTurn = turns(1);
  let end = (): void => undefined;
  const long = inTurn(() => new Promise<void>((resolve) => (end = resolve)));
  const waiting = Array.from({ length: 5_000 }, () => inTurn(() => Promise.resolve()));
  await expect(inTurn(() => Promise.resolve())).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  end();
  await long;
  await Promise.all(waiting);
});
