import { describe, expect, it } from 'vitest';
import { CloudClock } from '../../../harness/world/cloud-clock.ts';
import { Device } from '../../../harness/world/device.ts';
import { DAY, HOUR, MINUTE, YEAR } from '../../../harness/world/spans.ts';
import type { WorldLine } from '../../../harness/world/trace.ts';
import { worldLines, type WorldSize } from '../../../harness/world/world.ts';
import { WORLDS, type WorldName } from '../../../harness/world/worlds.ts';

const SIZE: WorldSize = { seed: 20, devices: 40, reports: 40_000 };
const ordinary = [...worldLines('ordinary', SIZE)];

type Report = Extract<WorldLine['line'], { kind: 'report' }>;
interface ReportOfWorld extends WorldLine {
  readonly line: Report;
  readonly truth: NonNullable<WorldLine['truth']>;
}
const isReport = (line: WorldLine): line is ReportOfWorld => line.line.kind === 'report' && line.truth !== null;
const reports = ordinary.filter(isReport);

const groupBy = <Item>(items: readonly Item[], key: (item: Item) => string): Map<string, Item[]> =>
  Map.groupBy(items, key);
const byBoot = groupBy(reports, ({ line }) => line.boot.id);
const first = (lines: readonly ReportOfWorld[]): ReportOfWorld[] => {
  const seen = new Set<string>();
  return lines.filter(({ line }) => {
    const key = `${line.boot.id} ${line.seq}`;
    return seen.has(key) ? false : seen.add(key);
  });
};
const isIn = (name: WorldName) => [...worldLines(name, { seed: 3, devices: 24, reports: 30_000 })];

describe('a simulated world', () => {
  it('is the same for the same seed, and another one for another', () => {
    const small = { ...SIZE, reports: 2000 };
    const again = JSON.stringify([...worldLines('ordinary', small)]);
    expect(JSON.stringify([...worldLines('ordinary', small)])).toBe(again);
    expect(JSON.stringify([...worldLines('ordinary', { ...small, seed: 21 })])).not.toBe(again);
  });

  it('ends after as many reports as it is asked for', () => {
    expect(reports).toHaveLength(SIZE.reports);
  });

  it('yields lines in order of arrival, and nothing arrives before it was sent', () => {
    const wrong = ordinary.filter(
      ({ arrivedAt, handedAt, truth }, n) =>
        arrivedAt < (ordinary[n - 1]?.arrivedAt ?? 0) || arrivedAt <= handedAt || (truth && handedAt < truth.at),
    );
    expect(wrong).toEqual([]);
  });

  it('stamps arrivals in whole ms of the cloud, rounded down', () => {
    expect(ordinary.filter(({ line, arrivedAt }) => line.receivedAt !== Math.floor(arrivedAt))).toEqual([]);
  });

  it('counts uptime at a rate that no crystal exceeds, in whole ms', () => {
    const wrong = [...byBoot.values()].flatMap((lines) => {
      const inOrder = lines.toSorted((a, b) => a.line.seq - b.line.seq);
      return inOrder.slice(1).filter((next, n) => {
        const before = inOrder[n] ?? next;
        const span = next.truth.at - before.truth.at;
        const counted = next.line.uptimeMs - before.line.uptimeMs;
        return !Number.isInteger(next.line.uptimeMs) || Math.abs(counted - span) > 1.01 + span * 113e-6;
      });
    });
    expect(wrong).toEqual([]);
  });

  it('keeps each device within 12 ppm of a rate of its own, and those rates apart', () => {
    const rates = new Map<string, number[]>();
    for (const lines of byBoot.values()) {
      const inOrder = lines.toSorted((a, b) => a.line.seq - b.line.seq);
      let before = inOrder[0];
      for (const next of inOrder) {
        const span = before ? next.truth.at - before.truth.at : 0;
        if (!before || span < 3 * HOUR) continue;
        const ppm = ((next.line.uptimeMs - before.line.uptimeMs) / span - 1) * 1e6;
        rates.set(next.line.deviceId, [...(rates.get(next.line.deviceId) ?? []), ppm]);
        before = next;
      }
    }
    const wander = [...rates.values()].map((ppm) => Math.max(...ppm) - Math.min(...ppm));
    // Rounding both uptimes is worth 0.1 ppm over three hours.
    expect(Math.max(...wander)).toBeLessThan(24.3);
    expect(Math.max(...wander)).toBeGreaterThan(8);
    const means = [...rates.values()].map((ppm) => (Math.max(...ppm) + Math.min(...ppm)) / 2);
    expect(Math.max(...means) - Math.min(...means)).toBeGreaterThan(100);
    expect(Math.max(...means.map(Math.abs))).toBeLessThan(112);
  });

  it('tells of exchanges that were', () => {
    const told = reports.flatMap(({ line, truth }) =>
      (line.exchanges ?? []).map((exchange) => {
        // True time at an uptime of this boot, as near as its rate allows.
        const trueAt = (uptimeMs: number): number => truth.at + (uptimeMs - line.uptimeMs);
        const room = 2 + (line.uptimeMs - exchange.requestUptimeMs) * 113e-6;
        return { ...exchange, trueAt, room, uptimeMs: line.uptimeMs };
      }),
    );
    expect(told.length).toBeGreaterThan(SIZE.reports / 10);
    const wrong = told.filter(
      ({ requestUptimeMs, cloudReceivedAt, cloudSentAt, responseUptimeMs, uptimeMs, trueAt, room }) =>
        responseUptimeMs > uptimeMs ||
        requestUptimeMs > responseUptimeMs ||
        cloudReceivedAt > cloudSentAt ||
        cloudReceivedAt < trueAt(requestUptimeMs) - room ||
        cloudSentAt > trueAt(responseUptimeMs) + room,
    );
    expect(wrong).toEqual([]);
  });

  it('tells of changes by how long ago they were', () => {
    const told = reports.flatMap(({ line, truth }) =>
      (line.changes ?? []).map(({ agoMs }, n) => ({
        agoMs,
        uptimeMs: line.uptimeMs,
        ago: truth.at - (truth.changes[n] ?? 0),
      })),
    );
    expect(told.length).toBeGreaterThan(SIZE.reports / 2);
    const isWrong = ({ agoMs, uptimeMs, ago }: (typeof told)[number]): boolean =>
      agoMs > uptimeMs || Math.abs(agoMs - ago) > 1 + ago * 113e-6;
    expect(told.filter(isWrong)).toEqual([]);
  });
});

describe('the troubles of the ordinary world', () => {
  it('repeats, loses, delays and reorders', () => {
    const once = first(reports);
    expect(once.length).toBeLessThan(reports.length);
    const overtaken = once.filter((report, n) => {
      const next = once[n + 1];
      return next && next.line.boot.id === report.line.boot.id && next.line.seq < report.line.seq;
    });
    expect(overtaken.length).toBeGreaterThan(10);
    const lost = [...groupBy(once, ({ line }) => line.boot.id).values()].some(
      (lines) => lines.length < Math.max(...lines.map(({ line }) => line.seq)) + 1,
    );
    expect(lost).toBe(true);
    expect(once.filter(({ arrivedAt, truth }) => arrivedAt - truth.at > 3 * HOUR).length).toBeGreaterThan(20);
    expect(once.filter(({ arrivedAt, truth }) => arrivedAt - truth.at < 100).length).toBeGreaterThan(once.length / 3);
  });

  it('has boots without any exchange, whose reports arrive in a later boot', () => {
    const never = [...byBoot.values()].filter((lines) => lines.every(({ line }) => line.exchanges?.length === 0));
    expect(never.length).toBeGreaterThan(3);
    const late = never
      .flat()
      .filter(({ line, arrivedAt }) =>
        reports.some(
          (other) =>
            other.line.deviceId === line.deviceId &&
            other.line.boot.count > line.boot.count &&
            other.truth.at < arrivedAt,
        ),
      );
    expect(late.length).toBeGreaterThan(0);
  });

  it('has wall clocks that are right, wrong by years, in 1970 and in 2035, that step and that stop', () => {
    const wrongBy = reports.map(({ line, truth }) => (line.wallMs ?? 0) - truth.at);
    expect(wrongBy.filter((by) => Math.abs(by) < 100).length).toBeGreaterThan(reports.length / 4);
    expect(wrongBy.some((by) => Math.abs(by) > YEAR && Math.abs(by) < 13 * YEAR)).toBe(true);
    expect(reports.some(({ line }) => (line.wallMs ?? 0) < YEAR)).toBe(true);
    expect(reports.some(({ line }) => (line.wallMs ?? 0) > Date.UTC(2035, 0, 1))).toBe(true);
    const moves = [...byBoot.values()].flatMap((lines) => {
      const inOrder = lines.toSorted((a, b) => a.line.seq - b.line.seq);
      return inOrder.slice(1).map(({ line }, n) => (line.wallMs ?? 0) - (inOrder[n]?.line.wallMs ?? 0));
    });
    expect(moves.some((ms) => ms < -MINUTE)).toBe(true);
    expect(moves.some((ms) => ms > HOUR)).toBe(true);
    expect(moves.filter((ms) => ms === 0).length).toBeGreaterThan(10);
  });

  it('has every kind of network and of wall clock among a few hundred devices', () => {
    const cloud = new CloudClock(1, WORLDS.ordinary.cloud);
    const devices = Array.from({ length: 300 }, (_, n) => new Device(n, 1, WORLDS.ordinary, cloud));
    expect(new Set(devices.map(({ network }) => network.kind)).size).toBe(8);
    expect(new Set(devices.map(({ wallClock }) => wallClock.kind)).size).toBe(7);
  });

  it('has outages of minutes and of days', () => {
    const { network } = new Device(1, 1, WORLDS.ordinary, new CloudClock(1, WORLDS.ordinary.cloud));
    const lasts = Array.from({ length: 2000 }, () => network.outageLasts());
    expect(lasts.filter((ms) => ms < 5 * MINUTE).length).toBeGreaterThan(400);
    expect(lasts.filter((ms) => ms > DAY).length).toBeGreaterThan(5);
  });

  it('says nothing that only the world can know', () => {
    const keys = new Set(ordinary.map(({ line }) => `${line.kind}: ${Object.keys(line).toSorted().join(' ')}`));
    expect(keys).toEqual(
      new Set([
        'report: boot changes deviceId exchanges kind receivedAt seq uptimeMs wallMs',
        'time-request: boot deviceId kind receivedAt requestUptimeMs',
      ]),
    );
  });
});

describe('worlds that break the assumptions', () => {
  /** How much uptime two reports next to each other counted beyond what passed. */
  const excesses = (lines: readonly WorldLine[]) =>
    [...groupBy(lines.filter(isReport), ({ line }) => line.boot.id).values()].flatMap((of) => {
      const inOrder = first(of).toSorted((a, b) => a.line.seq - b.line.seq);
      return inOrder.slice(1).map((next, n) => {
        const before = inOrder[n] ?? next;
        const span = next.truth.at - before.truth.at;
        return { span, excess: next.line.uptimeMs - before.line.uptimeMs - span };
      });
    });

  it('slews the monotonic clock', () => {
    const rates = excesses(isIn('slewed')).filter(({ span }) => span > MINUTE);
    expect(rates.filter(({ span, excess }) => Math.abs(excess / span) > 400e-6).length).toBeGreaterThan(50);
    expect(Math.max(...rates.map(({ span, excess }) => Math.abs(excess / span)))).toBeLessThan(5200e-6);
  });

  it('suspends machines without a word', () => {
    const lost = excesses(isIn('suspend')).map(({ excess }) => -excess);
    expect(lost.filter((ms) => ms > MINUTE).length).toBeGreaterThan(10);
    expect(Math.max(...lost)).toBeLessThan(9 * HOUR);
  });

  it('lets crystals wander by 60 ppm', () => {
    const rates = excesses(isIn('wander')).filter(({ span }) => span > 4 * MINUTE);
    expect(Math.max(...rates.map(({ span, excess }) => Math.abs(excess / span)))).toBeGreaterThan(115e-6);
  });

  it.each([
    ['cloud-steps-10s', 10_000],
    ['cloud-steps-1h', HOUR],
  ] as const)('sets the cloud clock wrong and right again: %s', (name, byMs) => {
    const wrong = isIn(name).map(({ line, arrivedAt }) => Math.round(line.receivedAt - arrivedAt));
    expect(new Set(wrong.map((ms) => Math.round(ms / byMs)))).toEqual(new Set([0, 1, -1]));
  });

  it('says how wrong a cloud clock can be that swings', () => {
    const wrong = isIn('cloud-swings').filter(
      ({ line, arrivedAt }) => line.cloudErrorMs !== 4 || Math.abs(line.receivedAt + 0.5 - arrivedAt) > 4.6,
    );
    expect(wrong).toEqual([]);
  });

  it('lets devices lie about exchanges', () => {
    const lines = isIn('lying');
    const backwards = lines
      .filter(isReport)
      .filter(({ line }) =>
        line.exchanges?.some(
          ({ requestUptimeMs, responseUptimeMs, cloudReceivedAt, cloudSentAt }) =>
            responseUptimeMs < requestUptimeMs || cloudSentAt < cloudReceivedAt,
        ),
      );
    expect(backwards.length).toBeGreaterThan(5);
    expect(backwards.every(({ broken }) => broken > 0)).toBe(true);
  });

  it('lets uptime jump forward and back', () => {
    const jumps = excesses(isIn('uptime-jumps')).map(({ excess }) => excess);
    expect(Math.max(...jumps)).toBeGreaterThan(HOUR);
    expect(Math.min(...jumps)).toBeLessThan(-MINUTE);
  });

  it('tells in which boots it broke them, and breaks them on some devices only', () => {
    for (const name of ['slewed', 'suspend', 'lying', 'uptime-jumps'] as const) {
      const lines = isIn(name);
      const broken = new Set(lines.filter((line) => line.broken > 0).map(({ line }) => line.deviceId));
      expect(broken.size).toBeGreaterThan(5);
      expect(broken.size).toBeLessThan(20);
    }
    expect(ordinary.every(({ broken }) => broken === 0)).toBe(true);
  });
});
