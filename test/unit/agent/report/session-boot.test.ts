import { describe, expect, it } from 'vitest';
import { DEVICE, SessionBench } from '../../../harness/agent/session.ts';
import { until } from '../../../harness/agent/fake-clock.ts';
import type { Reading } from '@paddock/shared/report.ts';

const NO_SAMPLE: Record<string, Reading> = { door: { value: null, ageMs: null, quality: 'bad', reason: 'no-sample' } };

describe('the first report', () => {
  it('is the boot report, asks, and opens the connection', async () => {
    const bench = await SessionBench.start();
    bench.link.connect();
    const { report } = await bench.next();
    expect(report).toMatchObject({
      device: DEVICE,
      start: 1,
      sequence: 0,
      trigger: { kind: 'boot' },
      nextWithinMs: 330_000,
    });
    expect(report.ask).toMatch(/^[A-Za-z0-9_-]{11}$/);
    expect(report.readings).toEqual(bench.readings);
  });

  it('waits a second for sensors that have told nothing yet, and no longer', async () => {
    const bench = await SessionBench.start({}, undefined, undefined, NO_SAMPLE);
    bench.link.connect();
    await bench.clock.advance(900);
    expect(bench.unseen).toBe(0);
    await bench.clock.advance(200);
    expect((await bench.next()).report.readings.door?.reason).toBe('no-sample');
  });

  it('goes as soon as they have', async () => {
    const bench = await SessionBench.start({}, undefined, undefined, NO_SAMPLE);
    bench.link.connect();
    await bench.clock.advance(100);
    bench.readings = { door: { value: true, ageMs: 0 } };
    await bench.clock.advance(50);
    expect((await bench.next()).report.readings.door?.value).toBe(true);
  });

  it('has what changes before it in it, whatever would tell of that', async () => {
    const bench = await SessionBench.start({}, undefined, undefined, NO_SAMPLE);
    bench.link.connect();
    bench.urgent('door');
    bench.tick();
    await bench.clock.advance(100);
    expect(bench.unseen).toBe(0);
    bench.readings = { door: { value: true, ageMs: 0 } };
    await bench.clock.advance(2_000);
    const { report } = await bench.next();
    expect(report).toMatchObject({ sequence: 0, trigger: { kind: 'boot' }, readings: { door: { value: true } } });
    expect(bench.unseen).toBe(0);
  });

  it.each([
    ['an event', (bench: SessionBench): void => bench.event('card-swipe', {}), 'event'],
    ['the end', (bench: SessionBench): void => void bench.session.stop(), 'shutdown'],
  ] as const)('is made at once when %s is to be told', async (_what, happens, next) => {
    const bench = await SessionBench.start({}, undefined, undefined, NO_SAMPLE);
    bench.link.connect();
    happens(bench);
    const [boot, other] = await bench.arrivals(2);
    expect(boot?.report).toMatchObject({ sequence: 0, trigger: { kind: 'boot' } });
    expect(other?.report).toMatchObject({ sequence: 1, trigger: { kind: next } });
  });

  it('is kept while there is no connection, and opens it when that comes soon', async () => {
    const bench = await SessionBench.start();
    await until(() => bench.held.length === 1, 'the boot report is held');
    await bench.clock.advance(2_000);
    bench.link.connect();
    expect((await bench.next()).report).toMatchObject({ sequence: 0, trigger: { kind: 'boot' } });
  });

  it('follows a fresh opening report when the connection comes late', async () => {
    const bench = await SessionBench.start();
    await until(() => bench.held.length === 1, 'the boot report is held');
    await bench.clock.advance(60_000);
    bench.link.connect();
    const opening = await bench.next({ record: true });
    expect(opening.report).toMatchObject({ sequence: 1, trigger: { kind: 'connect' } });
    await bench.answer(opening);
    expect((await bench.next()).report.sequence).toBe(0);
  });
});
