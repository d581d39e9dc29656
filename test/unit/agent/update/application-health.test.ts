import { Applications } from '@paddock/agent/local/applications.ts';
import type { Launcher } from '@paddock/agent/ports-firmware.ts';
import { judged } from '@paddock/agent/update/trial.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { quietLog } from '../../../harness/agent/quiet-log.ts';

const sha256 = 'a'.repeat(64);
const health = { withinSeconds: 20, settleSeconds: 5, sensors: false };
const criteria = { sha256, health, runs: true, goodSensors: 0 };

/** A release that runs since now, and the application that was well under the one before. */
function trial() {
  const clock = new FakeClock();
  const applications = new Applications(['screen'], clock, quietLog());
  applications.report('screen', { status: 'good', withinSeconds: 3_600 });
  clock.skip(1_000);
  const status = { slot: 'b', sha256, pid: 1, startedAt: clock.monotonic(), restarts: 0 } as const;
  const launcher: Launcher = { status: async () => status, restart: async () => {} };
  const parts = {
    clock,
    launcher,
    sensors: { good: () => 0, settled: async () => 0 },
    applicationFault: (since: typeof status.startedAt) => applications.faultSince(since),
    programs: { run: async () => ({ code: 0, timedOut: false, output: '' }) },
    slotPath: () => '/slots/b',
  };
  const verdict = judged(parts, 'b', criteria, new AbortController().signal);
  return { clock, applications, verdict };
}

describe('a trial of a release', () => {
  it('is good when the application says so under it, and goes on to', async () => {
    const { clock, applications, verdict } = trial();
    await clock.advance(2_000);
    applications.report('screen', { status: 'good', withinSeconds: 30 });
    await clock.advance(10_000);
    expect(await verdict).toBeNull();
  });

  it('is not good by what the application said under the release before', async () => {
    const { clock, verdict } = trial();
    await clock.advance(25_000);
    expect(await verdict).toEqual({ code: 'update_application_bad', detail: 'screen has not said how it is' });
  });

  it('is not good when the application falls silent while it settles', async () => {
    const { clock, applications, verdict } = trial();
    applications.report('screen', { status: 'good', withinSeconds: 2 });
    await clock.advance(25_000);
    expect(await verdict).toEqual({ code: 'update_application_bad', detail: 'screen says nothing any more' });
  });

  it('is not good when the application says that it is not well', async () => {
    const { clock, applications, verdict } = trial();
    applications.report('screen', { status: 'bad', detail: 'no printer', withinSeconds: 60 });
    await clock.advance(25_000);
    expect(await verdict).toEqual({ code: 'update_application_bad', detail: 'screen is not well: no printer' });
  });
});
