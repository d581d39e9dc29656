import { Replay, type Taken } from '@paddock/cloud/clock/replay.ts';
import { parseTraceLine, TRACE_PROBLEMS, TraceError, type ReportLine } from '@paddock/cloud/clock/replay-trace.ts';
import { wallMs } from '@paddock/shared/time.ts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const BEGAN = 1_795_464_000_000;
const MINUTE = 60_000;
const BOOT = { id: 'boot-1', count: 1 };

/** A report of a boot that began at BEGAN, with a perfect crystal and 20 ms either way. */
const report = (seq: number, fields: Partial<ReportLine> = {}): ReportLine => {
  const uptimeMs = fields.uptimeMs ?? 10_000 + seq * 5 * MINUTE;
  return {
    kind: 'report',
    deviceId: 'kiosk-1',
    boot: BOOT,
    seq,
    uptimeMs,
    wallMs: wallMs(BEGAN + uptimeMs),
    receivedAt: wallMs(BEGAN + uptimeMs + 20),
    exchanges: [],
    changes: [],
    ...fields,
  };
};
const exchangeAt = (uptimeMs: number) => ({
  requestUptimeMs: uptimeMs,
  cloudReceivedAt: wallMs(BEGAN + uptimeMs + 20),
  cloudSentAt: wallMs(BEGAN + uptimeMs + 30),
  responseUptimeMs: uptimeMs + 50,
});
/** Reports of an hour, each telling of an exchange. */
const sound = (deviceId: string): ReportLine[] =>
  Array.from({ length: 12 }, (_, n) => {
    const of = report(n, { deviceId, boot: { id: `${deviceId}-boot`, count: 1 } });
    return { ...of, exchanges: [exchangeAt(of.uptimeMs - 1000)] };
  });

const codesOf = ({ problem, faults }: Taken): string[] => (problem ? [problem, ...faults] : [...faults]);
function replayed(lines: readonly ReportLine[]) {
  const replay = new Replay(0);
  const taken = lines.map((line) => replay.take(line));
  return { taken, placed: lines.map((line, n) => replay.place(line, taken[n] ?? { problem: null })) };
}

describe('a line of a trace', () => {
  const good = report(3, { exchanges: [exchangeAt(1000)], changes: [{ name: 'door', agoMs: 12 }] });

  it('is a report or a request for the time', () => {
    expect(parseTraceLine(JSON.stringify(good))).toEqual(good);
    const request = { kind: 'time-request', deviceId: 'k', boot: BOOT, requestUptimeMs: 7, receivedAt: BEGAN };
    expect(parseTraceLine(JSON.stringify({ ...request, cloudErrorMs: 2.5 }))).toEqual({
      ...request,
      cloudErrorMs: 2.5,
    });
  });

  it.each([
    ['line_malformed', 'garbage'],
    ['line_malformed', '{"kind":"report"'],
    ['line_malformed', '\u0000\u0000'],
    ['line_kind_unknown', '{"kind":"receipt"}'],
    ['line_kind_unknown', '42'],
    ['line_kind_unknown', 'null'],
    ['line_kind_unknown', '[]'],
    ['line_invalid', '{"kind":"report"}'],
    ['line_invalid', JSON.stringify({ ...good, uptimeMs: -1 })],
    ['line_invalid', JSON.stringify({ ...good, seq: 1.5 })],
    ['line_invalid', JSON.stringify({ ...good, receivedAt: '2026-11-23T00:00:00.000Z' })],
    ['line_invalid', JSON.stringify({ ...good, receivedAt: 1e300 })],
    ['line_invalid', JSON.stringify({ ...good, boot: { id: 'x' } })],
    ['line_invalid', JSON.stringify({ ...good, exchanges: [{ requestUptimeMs: 1 }] })],
    ['line_invalid', JSON.stringify({ ...good, changes: [{ name: 'door' }] })],
    ['line_invalid', JSON.stringify({ ...good, cloudErrorMs: -1 })],
  ])('is refused as %s: %s', (code, text) => {
    expect(Object.keys(TRACE_PROBLEMS)).toContain(code);
    expect(() => parseTraceLine(text)).toThrow(expect.objectContaining({ name: 'TraceError', code }));
  });

  it('never makes the parser throw anything but its own error', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.json().map((json) => `{"kind":"report","boot":${json}}`),
        ),
        (text) => {
          try {
            parseTraceLine(text);
          } catch (error) {
            expect(error).toBeInstanceOf(TraceError);
          }
        },
      ),
    );
  });
});

describe('a replayed trace', () => {
  it('places what came before an exchange by what is known after it', () => {
    const lines = [report(0), report(1, { exchanges: [exchangeAt(20_000)] })];
    const { placed, taken } = replayed(lines);
    expect(taken.flatMap(codesOf)).toEqual([]);
    expect(placed[0]).toMatchObject({ deviceId: 'kiosk-1', boot: 'boot-1', seq: 0, basis: 'exchanged', changes: [] });
    const { earliest, latest } = placed[0] ?? {};
    expect(earliest).toBeLessThanOrEqual(BEGAN + 10_000);
    expect(earliest).toBeGreaterThan(BEGAN + 10_000 - 40);
    expect(latest).toBeGreaterThan(BEGAN + 10_000);
    expect(latest).toBeLessThan(BEGAN + 10_000 + 30);
  });

  it('places changes, and lets nothing but the arrival bound a lone report', () => {
    const { placed } = replayed([report(0, { changes: [{ name: 'door', agoMs: 4000 }] })]);
    const latest = BEGAN + 10_000 + 21;
    expect(placed[0]).toMatchObject({ earliest: null, latest, estimate: latest, basis: 'arrival' });
    expect(placed[0]?.changes).toHaveLength(1);
    expect(placed[0]?.changes[0]).toMatchObject({ name: 'door', earliest: null });
    expect(placed[0]?.changes[0]?.latest).toBeLessThan(latest - 3990);
  });

  it('takes a repeat for what it is, and places it like the first', () => {
    const lines = [
      ...sound('kiosk-1'),
      { ...report(5), boot: { id: 'kiosk-1-boot', count: 1 }, receivedAt: wallMs(BEGAN + 9e6) },
    ];
    const { taken, placed } = replayed(lines);
    expect(taken.at(-1)).toEqual({ problem: null, isRepeat: true, faults: [] });
    expect(placed.at(-1)).toMatchObject({ seq: 5, earliest: placed[5]?.earliest, basis: 'exchanged' });
    expect(Math.abs((placed.at(-1)?.latest ?? 0) - (placed[5]?.latest ?? 0))).toBeLessThan(2);
  });

  it('adds the error that the cloud says of itself, or the one that is given', () => {
    const said = replayed([report(0, { cloudErrorMs: 250 })]).placed[0];
    expect(said?.latest).toBe(BEGAN + 10_000 + 21 + 250);
    const replay = new Replay(7);
    expect(replay.place(report(0), replay.take(report(0))).latest).toBe(BEGAN + 10_000 + 21 + 7);
  });
});

describe('bad input', () => {
  const other = { boot: { id: 'kiosk-1-boot', count: 1 } };
  const uptimeMs = 10_000 + 12 * 5 * MINUTE;
  it.each<[code: string, line: ReportLine]>([
    ['exchange_backwards', report(12, { ...other, exchanges: [{ ...exchangeAt(50_000), responseUptimeMs: 49_000 }] })],
    [
      'exchange_backwards',
      report(12, { ...other, exchanges: [{ ...exchangeAt(50_000), cloudSentAt: wallMs(BEGAN) }] }),
    ],
    ['exchange_future', report(12, { ...other, exchanges: [exchangeAt(uptimeMs + 1)] })],
    ['change_negative', report(12, { ...other, changes: [{ name: 'door', agoMs: -1 }] })],
    ['change_before_boot', report(12, { ...other, changes: [{ name: 'door', agoMs: uptimeMs + 1 }] })],
    [
      'clock_contradiction',
      report(12, { ...other, uptimeMs: uptimeMs + 20 * MINUTE, receivedAt: wallMs(BEGAN + uptimeMs) }),
    ],
    ['uptime_backwards', report(12, { ...other, uptimeMs: 5 })],
    ['identity_conflict', report(3, { ...other, uptimeMs: 77 })],
    ['boot_conflict', report(12, { boot: { id: 'kiosk-1-boot', count: 2 } })],
    ['boot_conflict', report(12, { boot: { id: 'another', count: 1 } })],
  ])('is told as %s and touches nothing else', (code, line) => {
    const before = replayed([...sound('kiosk-1'), ...sound('kiosk-2')]);
    const after = replayed([...sound('kiosk-1'), line, ...sound('kiosk-2')]);
    expect(after.taken.flatMap(codesOf)).toContain(code);
    expect(after.placed.toSpliced(12, 1)).toEqual(before.placed);
    expect(after.placed[12]?.latest).toBeGreaterThanOrEqual(BEGAN);
    expect(after.placed[12]?.changes).toEqual([]);
  });

  it('widens what an exchange contests, and nothing that was confirmed before', () => {
    const lie = { ...exchangeAt(uptimeMs - 1000), cloudReceivedAt: wallMs(BEGAN + 5), cloudSentAt: wallMs(BEGAN + 9) };
    const before = replayed([...sound('kiosk-1'), ...sound('kiosk-2')]);
    const after = replayed([...sound('kiosk-1'), report(12, { ...other, exchanges: [lie] }), ...sound('kiosk-2')]);
    expect(after.taken.flatMap(codesOf)).toEqual(['clock_contradiction']);
    expect(after.placed.slice(0, 11)).toEqual(before.placed.slice(0, 11));
    expect(after.placed.slice(13)).toEqual(before.placed.slice(12));
    for (const [n, truth] of [11, 12].map((seq) => [seq, BEGAN + 10_000 + seq * 5 * MINUTE] as const)) {
      expect(after.placed[n]?.earliest).toBeLessThan(truth);
      expect(after.placed[n]?.latest).toBeGreaterThan(truth);
    }
  });

  it('keeps a report with a problem within what its arrival proves, and no better', () => {
    const line = report(12, { ...other, uptimeMs: 5, receivedAt: wallMs(BEGAN + uptimeMs) });
    const { placed } = replayed([...sound('kiosk-1'), line]);
    expect(placed[12]).toMatchObject({ earliest: null, latest: BEGAN + uptimeMs + 1, basis: 'arrival' });
  });
});
