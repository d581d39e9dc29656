import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AuthenticReport } from '@paddock/cloud/ingest/authenticate.ts';
import { decide } from '@paddock/cloud/ingest/decide.ts';
import { identityKey, startKeyOf, type Ledger, type StartEntry } from '@paddock/cloud/ingest/ledger.ts';
import type { Report } from '@paddock/shared/report.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { authentic, BOOT_ID, INCARNATION } from '../../../harness/reports.ts';

const startEntry = (fields: Partial<StartEntry> = {}): StartEntry => ({
  deviceId: 'kiosk-0001',
  incarnation: INCARNATION,
  start: 1,
  ordinal: 1,
  bootId: BOOT_ID,
  firstReceivedAt: new Date(0),
  recorded: [],
  rejected: [],
  droppedRoutine: 0,
  droppedEvents: 0,
  settledBelow: 0,
  abandoned: 0,
  ...fields,
});

const ledgerOf = (starts: StartEntry[], digests: [string, string][] = []): Ledger => ({
  starts: new Map(starts.map((entry) => [`${entry.deviceId} ${entry.incarnation} ${entry.start}`, entry])),
  boots: new Map(),
  clocks: new Map(),
  digests: new Map(digests),
});

const verdicts = (batch: AuthenticReport[], ledger: Ledger) =>
  decide(batch, ledger, () => 0).outcomes.map(({ message, verdict }) => [
    message.report.sequence,
    verdict.kind === 'refused' ? verdict.code : verdict.kind,
  ]);

describe('deciding on a batch', () => {
  it('records what is new, in the order of the device and not of arrival', () => {
    const batch = [2, 0, 1].map((sequence) => authentic({ sequence, uptimeMs: 1000 + sequence }));
    const decision = decide(batch, ledgerOf([startEntry()]), () => 0);
    expect(decision.reports.map(({ place }) => place.sequence)).toEqual([0, 1, 2]);
    expect(decision.starts.values().next().value?.recorded).toEqual([[0, 2]]);
    expect(decision.newest.map(({ place }) => place.sequence)).toEqual([2]);
  });

  it('records a repeat once, within a batch and across batches', () => {
    const report = authentic({ sequence: 4 });
    expect(verdicts([report, report], ledgerOf([startEntry()]))).toEqual([
      [4, 'new'],
      [4, 'repeat'],
    ]);
    const known = ledgerOf([startEntry({ recorded: [[0, 4]] })], [[identityKey(report), report.digest]]);
    expect(verdicts([report], known)).toEqual([[4, 'repeat']]);
  });

  it('takes a repeat for one when retention has dropped the report it repeats', () => {
    expect(verdicts([authentic({ sequence: 4 })], ledgerOf([startEntry({ recorded: [[0, 4]] })]))).toEqual([
      [4, 'repeat'],
    ]);
  });

  it('refuses another content under a recorded identity, and names it in the answer', () => {
    const original = authentic({ sequence: 4 });
    const clone = { ...original, digest: 'clone'.padEnd(43, '1') };
    expect(verdicts([original, clone], ledgerOf([startEntry()]))).toEqual([
      [4, 'new'],
      [4, 'identity_conflict'],
    ]);
    const { starts } = decide([original, clone], ledgerOf([startEntry()]), () => 0);
    expect(starts.get(startKeyOf(clone))?.rejected).toEqual([
      { sequence: 4, digest: clone.digest, code: 'identity_conflict' },
    ]);
  });

  it('refuses an uptime that goes back along the order of a boot', () => {
    const batch = [authentic({ sequence: 0, uptimeMs: 5000 }), authentic({ sequence: 1, uptimeMs: 4999 })];
    expect(verdicts(batch, ledgerOf([startEntry()]))).toEqual([
      [0, 'new'],
      [1, 'uptime_backwards'],
    ]);
  });

  it('refuses a late report from later than the newest of its boot', () => {
    const ledger = ledgerOf([startEntry({ recorded: [[5, 5]] })]);
    const boots = decide([authentic({ sequence: 6, uptimeMs: 9000 })], ledger, () => 0).boots;
    const late = authentic({ sequence: 1, uptimeMs: 9001 });
    expect(verdicts([late], { ...ledger, boots: new Map(boots) })).toEqual([[1, 'uptime_backwards']]);
  });

  it('refuses a start that moves to another boot', () => {
    const moved = authentic({ boot: { id: 'another-boot' } });
    expect(verdicts([moved], ledgerOf([startEntry()]))).toEqual([[0, 'boot_conflict']]);
  });

  it('puts a later incarnation after an earlier one, whatever their starts say', () => {
    const old = authentic({ incarnation: 'BBBBBBBBBBB', start: 900, boot: { id: 'b1' } });
    const young = authentic({ incarnation: 'CCCCCCCCCCC', start: 1, boot: { id: 'b2' } });
    const ledger = ledgerOf([
      startEntry({ incarnation: 'BBBBBBBBBBB', start: 900, ordinal: 1, bootId: 'b1' }),
      startEntry({ incarnation: 'CCCCCCCCCCC', start: 1, ordinal: 2, bootId: 'b2' }),
    ]);
    expect(decide([young, old], ledger, () => 0).newest.map(({ message }) => message.report.incarnation)).toEqual([
      'CCCCCCCCCCC',
    ]);
  });

  it('names only the newest refusals, however many there are', () => {
    const clones = Array.from({ length: 50 }, (_, n) => ({
      ...authentic({ sequence: 0 }),
      digest: `${n}`.padEnd(43, 'x'),
    }));
    const [start] = decide(clones, ledgerOf([startEntry()]), () => 0).starts.values();
    expect(start?.rejected).toHaveLength(32);
    expect(start?.rejected.at(-1)?.digest).toBe(clones.at(-1)?.digest);
  });

  it('ends with the same records however the reports are repeated, shuffled and cut into batches', () => {
    const traffic = fc.array(fc.record({ sequence: fc.nat({ max: 30 }), cut: fc.boolean() }), { maxLength: 80 });
    fc.assert(
      fc.property(traffic, (messages) => {
        let ledger = ledgerOf([startEntry()]);
        let batch: AuthenticReport[] = [];
        const recorded: number[] = [];
        const commit = () => {
          const decision = decide(batch, ledger, () => 0);
          recorded.push(...decision.reports.map(({ place }) => place.sequence));
          const digests = decision.outcomes.map(({ message }): [string, string] => [
            identityKey(message),
            message.digest,
          ]);
          ledger = {
            starts: new Map(decision.starts),
            boots: new Map(decision.boots),
            clocks: new Map(ledger.clocks),
            digests: new Map([...ledger.digests, ...digests]),
          };
          batch = [];
        };
        for (const { sequence, cut } of messages) {
          batch.push(authentic({ sequence, uptimeMs: 1000 + sequence }));
          if (cut) commit();
        }
        commit();
        expect(recorded.toSorted((a, b) => a - b)).toEqual(
          [...new Set(messages.map(({ sequence }) => sequence))].toSorted((a, b) => a - b),
        );
      }),
    );
  });

  it('refuses what was given up, and knows a repeat of what was recorded below', () => {
    const start = startEntry({ recorded: [[50, 60]], settledBelow: 50, abandoned: 3 });
    const known = authentic({ sequence: 40 });
    const ledger = ledgerOf([start], [[identityKey(known), known.digest]]);
    expect(verdicts([known, authentic({ sequence: 41 })], ledger)).toEqual([
      [40, 'repeat'],
      [41, 'sequence_abandoned'],
    ]);
  });

  it('measures nothing by an uptime that cannot be', () => {
    const told = (sequence: number, uptimeMs: number, fields: Partial<Report> = {}) => ({
      ...authentic({ sequence, uptimeMs, readings: {}, ...fields }),
      receivedAt: wallMs(1_795_464_000_000 + sequence * 60_000),
    });
    const at = (ms: number) => toInstant(wallMs(1_795_464_000_000 + ms));
    const exchanges = [{ requestUptimeMs: 1000, receivedAt: at(0), sentAt: at(5), responseUptimeMs: 1050 }];
    const batch = [told(0, 1000), told(1, 61_000, { exchanges }), told(2, 365 * 86_400_000), told(3, 181_000)];
    const decision = decide(batch, ledgerOf([startEntry()]), () => 0);
    expect(decision.outcomes.map(({ verdict }) => verdict.kind)).toEqual(['new', 'new', 'new', 'new']);
    expect(decision.clocks.alarms).toMatchObject([{ code: 'clock_contradiction' }]);
    expect(decision.boots.values().next().value?.newest).toMatchObject({ place: { sequence: 3 }, uptimeMs: 181_000 });
    expect(decision.reports.map(({ interval }) => interval.basis)).toEqual([
      'exchanged',
      'exchanged',
      'arrival',
      'exchanged',
    ]);
  });

  it('bounds an exchange by what the cloud’s clock was worth when it stamped that', () => {
    const began = 1_795_464_000_000;
    const at = (ms: number) => toInstant(wallMs(began + ms));
    const exchanges = [{ requestUptimeMs: 1000, receivedAt: at(20), sentAt: at(20), responseUptimeMs: 1040 }];
    const report = { ...authentic({ uptimeMs: 61_000, exchanges, readings: {} }), receivedAt: wallMs(began + 60_020) };
    const widthWhen = (errorAt: (stamp: number) => number): number => {
      const [placed] = decide([report], ledgerOf([startEntry()]), errorAt).reports;
      return Math.round((placed?.interval.latest ?? NaN) - (placed?.interval.earliest ?? NaN));
    };
    const right = widthWhen(() => 0);
    expect(widthWhen((stamp) => (stamp < began + 1000 ? 700 : 0))).toBeGreaterThanOrEqual(right + 700);
    expect(widthWhen((stamp) => (stamp < began + 1000 ? 0 : 700))).toBeLessThanOrEqual(right + 50);
  });

  it('tells each change of a reading once in a batch, and none from before the boot', () => {
    const readings = {
      door: { value: true, ageMs: 1, changes: 3, changedAgoMs: 400 },
      lock: { value: true, ageMs: 1, changes: 1, changedAgoMs: 99_000 },
      light: { value: true, ageMs: 1, changes: 0, changedAgoMs: null, heldForMs: 4 },
    };
    const decision = decide([authentic({ sequence: 1, uptimeMs: 5000, readings })], ledgerOf([startEntry()]), () => 0);
    expect(
      decision.reports.flatMap(({ changes }) => changes.map((change) => [change.sensor, change.uptimeMs])),
    ).toEqual([['door', 4600]]);
    expect(decision.clocks.faults).toEqual(['change_before_boot']);
  });
});
