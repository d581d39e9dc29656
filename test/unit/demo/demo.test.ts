import { readConfig } from '@paddock/agent/config.ts';
import { readingsAt } from '@paddock/demo/fleet/readings.ts';
import { kioskConfiguration } from '@paddock/demo/kiosk.ts';
import { readEvents, type ServerEvent } from '@paddock/demo/server-events.ts';
import { presenceLine, stateLine, type ShownDevice } from '@paddock/demo/show.ts';
import { parseReport } from '@paddock/shared/report.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { minimalReport } from '../../harness/samples.ts';

describe('the demonstration kiosk', () => {
  it('has a configuration that the agent takes', () => {
    const values = { panel: '/run/panel', meter: '/run/meter' };
    const config = readConfig(kioskConfiguration(values), '/demo/agent.yaml');
    expect(config.cloud.claim).toBe('/demo/claim.jwt');
    expect(config.ports['meter']).toMatchObject({ kind: 'modbus-rtu', path: '/run/meter' });
    expect(Object.keys(config.sensors)).toHaveLength(11);
    expect(kioskConfiguration(values)).not.toContain('$');
  });
});

describe('a simulated device', () => {
  it('has readings that every report may carry, at any time', () => {
    const seconds = fc.double({ min: 0, max: 1e7, noNaN: true });
    fc.assert(
      fc.property(fc.nat({ max: 10_000 }), seconds, seconds, (index, startedAt, since) => {
        const readings = readingsAt(index, startedAt + since, startedAt);
        expect(() => parseReport({ ...minimalReport, readings })).not.toThrow();
      }),
    );
  });

  it('counts a change when the value changes, and says when that was', () => {
    let before = readingsAt(0, 1000, 1000);
    for (let seconds = 1001; seconds < 4000; seconds++) {
      const now = readingsAt(0, seconds, 1000);
      const [was, is] = [before['motion'], now['motion']];
      expect((is?.changes ?? 0) - (was?.changes ?? 0)).toBe(is?.value === was?.value ? 0 : 1);
      before = now;
    }
    expect(before['motion']?.changedAgoMs).toBeLessThan(23_500);
  });
});

describe('server-sent events', () => {
  const stream = 'id: 7-1\nevent: state\ndata: {"a":1}\n\n: beat\n\ndata: x\ndata: y\n\nevent: cut off\ndata: no';

  it('are read however the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: stream.length })), async (cuts) => {
        const edges = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
        const parts = edges.slice(1).map((end, index) => new TextEncoder().encode(stream.slice(edges[index], end)));
        const events: ServerEvent[] = [];
        for await (const event of readEvents(ReadableStream.from(parts))) events.push(event);
        expect(events).toEqual([
          { id: '7-1', event: 'state', data: '{"a":1}' },
          { id: null, event: 'message', data: 'x\ny' },
        ]);
      }),
    );
  });
});

describe('a line of the terminal', () => {
  const device: ShownDevice = {
    deviceId: 'kiosk-0001',
    lastReport: { receivedAt: '2026-11-23T20:00:03.250Z', start: 1, sequence: 4, trigger: { kind: 'schedule' } },
    readings: { power: { value: 7.271_834, unit: 'kW', ageMs: 1 }, door: { value: false, ageMs: 2 } },
  };
  const next = (changes: Partial<ShownDevice>, trigger: { kind: string; sensor?: string } = { kind: 'boot' }) => ({
    ...device,
    lastReport: { receivedAt: '2026-11-23T20:00:13.250Z', start: 1, sequence: 5, trigger },
    ...changes,
  });

  it('shows every reading of the first report', () => {
    expect(stateLine(device, undefined)).toMatch(/:00:03 {2}kiosk-0001 {2}schedule {2}power 7\.27183 kW, door false$/);
  });

  it('shows what changed, and why it was reported', () => {
    const opened = next(
      { readings: { ...device.readings, door: { value: true, ageMs: 0 } } },
      { kind: 'change', sensor: 'door' },
    );
    expect(stateLine(opened, device)).toMatch(/change of door {2}door true$/);
  });

  it('shows what is wrong with a reading', () => {
    const lost = next({ readings: { door: { value: null, ageMs: 9, quality: 'bad', reason: 'unplugged' } } });
    expect(stateLine(lost, device)).toMatch(/door bad \(unplugged\)$/);
  });

  it('is not shown for a report that was shown before', () => {
    expect(stateLine(device, device)).toBeNull();
  });

  it('shows presence as it moved', () => {
    const moved = { deviceId: 'kiosk-0001', presence: 'late', previous: 'online', since: '2026-11-23T20:00:13.250Z' };
    expect(presenceLine(moved)).toMatch(/kiosk-0001 {2}presence {2}online -> late$/);
  });
});
