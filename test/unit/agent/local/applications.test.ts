import { Applications } from '@paddock/agent/local/applications.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { quietLog } from '../../../harness/agent/quiet-log.ts';

describe('an application of the kiosk', () => {
  let clock: FakeClock;
  let applications: Applications;
  let turned: string[];
  let codes: string[];
  const reading = () => applications.readings(clock.monotonic())['application.screen'];
  const say = (status: 'good' | 'bad', withinSeconds = 30, detail?: string): void =>
    applications.report('screen', { status, withinSeconds, ...(detail !== undefined && { detail }) });

  beforeEach(() => {
    clock = new FakeClock();
    turned = [];
    codes = [];
    applications = new Applications(['screen'], clock, quietLog(codes));
    applications.begin((name) => void turned.push(name));
  });

  it('is unknown until it says how it is', () => {
    expect(reading()).toMatchObject({ value: null, ageMs: null, quality: 'bad', reason: 'no-sample' });
    expect(applications.shown(clock.monotonic())).toEqual({ screen: { status: 'silent', ageMs: null } });
  });

  it('is in the log with each turn, and once a minute when it turns all the time', async () => {
    for (let n = 0; n < 100; n += 1) {
      say(n % 2 === 0 ? 'good' : 'bad');
      await clock.advance(100);
    }
    expect([turned.length, codes]).toEqual([100, ['application_good', 'application_bad']]);
    await clock.advance(60_000);
    say('bad');
    expect(codes.slice(2)).toEqual(['application_silent', 'application_bad']);
  });

  it('is what it says, and counts its changes', async () => {
    say('good');
    await clock.advance(5_000);
    say('bad', 30, 'no printer');
    await clock.advance(2_000);
    expect(reading()).toEqual({ value: false, ageMs: 2_000, changes: 1, changedAgoMs: 2_000 });
    expect(applications.shown(clock.monotonic())).toMatchObject({ screen: { status: 'bad', detail: 'no printer' } });
    expect(turned).toEqual(['application.screen', 'application.screen']);
  });

  it('has no value when it says nothing for longer than it announced, and that is told at once', async () => {
    say('good', 10);
    await clock.advance(10_000);
    expect([reading()?.value, turned.length]).toEqual([true, 1]);
    await clock.advance(1);
    expect(reading()).toMatchObject({ value: null, quality: 'bad', reason: 'stale', ageMs: 10_001 });
    expect(turned).toHaveLength(2);
    expect(applications.shown(clock.monotonic())).toEqual({ screen: { status: 'silent', ageMs: 10_001 } });
  });

  it('goes by the newest announcement, be it shorter or longer than the one before', async () => {
    say('good', 3_600);
    say('good', 10);
    await clock.advance(10_001);
    expect(turned).toHaveLength(2);
    say('good', 3_600);
    await clock.advance(100_000);
    expect(reading()).toMatchObject({ value: true, heldForMs: 100_000 });
  });

  it('is not believed across a suspend', async () => {
    say('good');
    clock.suspend(60_000);
    expect(reading()).toMatchObject({ value: null, reason: 'stale', ageMs: null });
    say('good');
    expect(reading()).toMatchObject({ value: true, changes: 0 });
  });

  it('is judged by what it said since the release began to run, and by nothing older', async () => {
    say('good');
    await clock.advance(1_000);
    const began = clock.monotonic();
    expect(applications.faultSince(began)).toBe('screen has not said how it is');
    say('bad', 10, 'no printer');
    expect(applications.faultSince(began)).toBe('screen is not well: no printer');
    say('good', 10);
    expect(applications.faultSince(began)).toBeNull();
    await clock.advance(10_001);
    expect(applications.faultSince(began)).toBe('screen says nothing any more');
  });

  it('has to be one that the configuration names', () => {
    expect(() => applications.report('stranger', { status: 'good', withinSeconds: 1 })).toThrow(
      expect.objectContaining({ code: 'application_unknown' }),
    );
  });
});
