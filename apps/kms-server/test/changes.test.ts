import type { Change, ChangeLog } from '@minikms/store-prisma';
import { describe, expect, it } from 'vitest';
import { ChangeFeed } from '../src/changes.ts';

/** A change log that a test writes to, with a clock that a test moves. */
function setup() {
  const changes: Change[] = [];
  const state = { number: 0, down: false, gap: false, now: 0, health: [] as boolean[] };
  const log: ChangeLog = {
    async since(number) {
      if (state.down) throw new Error('down');
      return { number: state.number, changes: state.gap ? 'gap' : changes.filter((change) => change.number > number) };
    },
    prune: async () => 0,
  };
  const feed = new ChangeFeed({
    log,
    intervalMs: 1_000_000,
    staleAfterMs: 1000,
    horizonMs: 10_000,
    now: () => state.now,
    onHealth: (healthy) => state.health.push(healthy),
  });
  const change = (tenantId: string, scopeId: string) => changes.push({ number: ++state.number, tenantId, scopeId });
  return { feed, state, change };
}

const a = { tenantId: 'a', scopeId: 'x' };
const b = { tenantId: 'b', scopeId: 'x' };

describe('the change feed', () => {
  it('tells of a change to what was read before it, and only to that scope', async () => {
    const { feed, change } = setup();
    await feed.start();
    const before = feed.position();
    change('a', 'x');
    await feed.poll();
    expect([feed.changedSince(a, before), feed.changedSince(b, before)]).toEqual([true, false]);
    expect(feed.changedSince(a, feed.position())).toBe(false);
    await feed.stop();
  });

  it('does not tell of changes from before it started', async () => {
    const { feed, change } = setup();
    change('a', 'x');
    await feed.start();
    expect(feed.position()).toBe(1);
    expect(feed.changedSince(a, 1)).toBe(false);
    expect(feed.changedSince(a, 0)).toBe(true);
    await feed.stop();
  });

  it('distrusts everything read before changes that it could not see', async () => {
    const { feed, state } = setup();
    await feed.start();
    const before = feed.position();
    state.number = 20_000;
    state.gap = true;
    await feed.poll();
    expect(feed.changedSince(b, before)).toBe(true);
    expect(feed.changedSince(b, feed.position())).toBe(false);
    await feed.stop();
  });

  it('forgets changes after its horizon, and distrusts what is older', async () => {
    const { feed, state, change } = setup();
    await feed.start();
    change('a', 'x');
    await feed.poll();
    state.now = 20_000;
    await feed.poll();
    expect(feed.changedSince(a, 0)).toBe(true);
    expect(feed.changedSince(b, 0)).toBe(true);
    expect(feed.changedSince(b, 1)).toBe(false);
    await feed.stop();
  });

  it('is stale a second after the last poll that succeeded, and says when that ends', async () => {
    const { feed, state } = setup();
    await feed.start();
    state.down = true;
    state.now = 999;
    await feed.poll();
    expect(feed.fresh()).toBe(true);
    state.now = 1000;
    await feed.poll();
    expect(feed.fresh()).toBe(false);
    state.down = false;
    await feed.poll();
    expect(feed.fresh()).toBe(true);
    expect(state.health).toEqual([true, false, true]);
    await feed.stop();
  });

  it('stays stale on a database that went back in time', async () => {
    const { feed, state, change } = setup();
    change('a', 'x');
    change('a', 'x');
    await feed.start();
    state.number = 1;
    state.now = 2000;
    await feed.poll();
    expect(feed.fresh()).toBe(false);
    expect(state.health).toEqual([true, false]);
    await feed.stop();
  });
});
