import { chooseAgent, isAnother, type Starts } from '@paddock/agent/start/choose-agent.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';

const RELEASE = { slot: 'a', sha256: 'first', onTrial: false } as const;
const NEXT = { slot: 'b', sha256: 'second', onTrial: false } as const;
const TRIAL = { ...NEXT, onTrial: true } as const;
const MINUTE_MS = 60_000;

/** Started so often, each so long after the one before. */
function startedOften(agent: typeof RELEASE | typeof NEXT | typeof TRIAL, times: number, everyMs: number) {
  let starts: Starts | null = null;
  let runsSlot = false;
  for (let n = 0; n < times; n += 1) ({ runsSlot, starts } = chooseAgent(agent, starts, uptimeMs(n * everyMs)));
  return { runsSlot, starts };
}

describe('which agent is started', () => {
  it("is the package's own where the release has none, or there is no release", () => {
    expect(chooseAgent(null, null, uptimeMs(0))).toEqual({ runsSlot: false, starts: null });
  });

  it('is that of the release, however often it ends after it ran for a while', () => {
    expect(startedOften(RELEASE, 100, 10 * MINUTE_MS).runsSlot).toBe(true);
  });

  it("is the package's own when that of the release ended five times, soon after each start", () => {
    expect(startedOften(RELEASE, 5, MINUTE_MS).runsSlot).toBe(true);
    expect(startedOften(RELEASE, 6, MINUTE_MS)).toMatchObject({ runsSlot: false, starts: { isRefused: true } });
  });

  it('stays so, as long as the release and the boot are the same', () => {
    const { starts } = startedOften(RELEASE, 6, MINUTE_MS);
    expect(chooseAgent(RELEASE, starts, uptimeMs(1_000 * MINUTE_MS)).runsSlot).toBe(false);
    expect(chooseAgent(NEXT, starts, uptimeMs(1_000 * MINUTE_MS)).runsSlot).toBe(true);
  });

  it('is that of a release on trial, whatever becomes of it: nobody else may find the trial good', () => {
    expect(startedOften(TRIAL, 50, MINUTE_MS).runsSlot).toBe(true);
  });

  it('does not hold against a release what it was started on trial, once it is committed', () => {
    const { starts } = startedOften(TRIAL, 3, MINUTE_MS);
    expect(chooseAgent(NEXT, starts, uptimeMs(4 * MINUTE_MS)).runsSlot).toBe(true);
  });
});

describe('whether another agent is to run than the one that does', () => {
  it('is so when the release that runs is another one, or has none', () => {
    expect(isAnother(NEXT, 'first', null)).toBe(true);
    expect(isAnother(null, 'first', null)).toBe(true);
    expect(isAnother(RELEASE, null, null)).toBe(true);
    expect(isAnother(RELEASE, 'first', null)).toBe(false);
    expect(isAnother(null, null, null)).toBe(false);
  });

  it("is not so for the package's own while that of the release is put aside, but for its trial", () => {
    expect(isAnother(NEXT, null, 'second')).toBe(false);
    expect(isAnother(TRIAL, null, 'second')).toBe(true);
  });
});
