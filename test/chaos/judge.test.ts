import { describe, expect, it } from 'vitest';
import { reportOf } from '../harness/reports.ts';
import type { Archived, StoredChange } from './archive.ts';
import { judge, type Evidence } from './judge.ts';

const DEVICE = 'kiosk-0001';
const INCARNATION = 'aaaaaaaaaaa';
const NOON = 1_800_000_000_000;
const place = (sequence: number): string => `${INCARNATION}/1/${sequence}`;

/** A row of a card swipe. */
function archived(sequence: number, number: number): Archived {
  const trigger = { kind: 'event', name: 'card-swipe', data: { number } } as const;
  const wallMs = NOON + sequence * 1_000;
  const uptimeMs = 60_000 + sequence * 1_000;
  const readings = {
    door: { value: true, ageMs: 20, changes: 1 + (sequence >> 1), changedAgoMs: 500 + (sequence % 2) * 1_000 },
  };
  const report = reportOf({ incarnation: INCARNATION, start: 1, sequence, trigger, wallMs, uptimeMs, readings });
  const interval = { earliest: new Date(wallMs - 20), latest: new Date(wallMs + 20) };
  return {
    incarnation: INCARNATION,
    start: 1,
    sequence,
    ordinal: 1,
    digest: `digest ${sequence}`,
    ...interval,
    report,
  };
}

/** The change that sequences 0 and 1 tell of, and the one that sequence 2 tells of. */
const changes = [1, 2].map((count): StoredChange => {
  const afterMs = (count - 1) * 2_000 - 500;
  const [earliest, latest] = [new Date(NOON + afterMs - 20), new Date(NOON + afterMs + 20)];
  return {
    incarnation: INCARNATION,
    start: 1,
    sensor: 'door',
    changes: count,
    uptimeMs: 60_000 + afterMs,
    earliest,
    latest,
  };
});

/** Three swipes, all of them accepted, answered and recorded. */
function world(change: Partial<Evidence['database']> = {}): Evidence {
  const archive = [archived(0, 1), archived(1, 2), archived(2, 3)] as const;
  const [, , newest] = archive;
  return {
    device: DEVICE,
    swipes: 3,
    kept: { events: [0, 1, 2].map(place), routine: [] },
    told: { recorded: new Set([0, 1, 2].map(place)), refused: [], broken: [] },
    database: {
      archive,
      changes,
      starts: [{ incarnation: INCARNATION, start: 1, recorded: [[0, 2]] }],
      state: { ...newest, report: structuredClone(newest.report) },
      incarnations: 1,
      rejections: [],
      ...change,
    },
    own: { incarnation: INCARNATION, start: 1, uncovered: [] },
    agent: { starts: [1], lives: 1 },
  };
}

/** Findings, as far as their first words. */
const findings = (evidence: Evidence): string[] =>
  judge([evidence]).findings.map((finding) => finding.slice(`${DEVICE}: `.length).split(':')[0] ?? '');

describe('the judge of a chaos run', () => {
  it('finds nothing where all is well', () => {
    const { events, reports, intervals, changes: told, findings } = judge([world()]);
    expect(findings).toEqual([]);
    expect(events).toEqual({ sent: 3, accepted: 3, recorded: 3, lost: 0, repeated: 0, neverAccepted: 0 });
    expect(reports).toEqual({ recorded: 3, toldRecorded: 3, lost: 0, repeated: 0 });
    expect(intervals).toEqual({ judged: 3, false: 0, open: 0 });
    expect(told).toEqual({ told: 2, stored: 2, lost: 0, repeated: 0, invented: 0, false: 0 });
  });

  it('finds an event that was accepted and is lost, and a report that was answered and is lost', () => {
    const { events, reports, findings } = judge([world({ archive: [archived(0, 1), archived(2, 3)] })]);
    expect(events).toMatchObject({ lost: 1 });
    expect(reports).toMatchObject({ lost: 1 });
    expect(findings).toEqual([
      `${DEVICE}: Events on the disk of the agent and not in the archive: ${place(1)} (1)`,
      `${DEVICE}: Reports that an answer called recorded and that are not in the archive: ${place(1)} (1)`,
      `${DEVICE}: Swipes that are left out in the middle of a start: 2 (1)`,
      `${DEVICE}: The recorded ranges name 3 reports, the archive holds 2`,
    ]);
  });

  it('finds what is there twice, under one identity or under two', () => {
    const { archive } = world().database;
    const same = judge([world({ archive: [...archive, archived(1, 2)] })]);
    expect(same.reports).toMatchObject({ repeated: 1 });
    expect(same.events).toMatchObject({ repeated: 1 });
    const other = judge([world({ archive: [archived(0, 1), archived(1, 1), archived(2, 3)] })]);
    expect(other.reports).toMatchObject({ repeated: 0 });
    expect(other.events).toMatchObject({ repeated: 1 });
  });

  it('finds a last known state that is not the newest, or says something else', () => {
    const [first] = world().database.archive;
    expect(findings(world({ state: first ?? null }))).toEqual([
      `The last known state is ${place(0)}, the newest report ${place(2)}`,
    ]);
    const { state } = world().database;
    expect(findings(world({ state: state && { ...state, report: null } }))).toEqual([
      'The last known state says something else than the newest report',
    ]);
    expect(findings(world({ state: null }))).toEqual(['There is no report, or no last known state']);
  });

  it('finds envelopes that do not verify, refusals, and swipes that never happened', () => {
    const [first, second, third] = [archived(0, 1), { ...archived(1, 2), report: null }, archived(2, 9)];
    expect(findings(world({ archive: [first, second, third], rejections: ['topic_foreign'] }))).toEqual([
      'Messages that the cloud refused',
      'Swipes that are left out in the middle of a start',
      'Envelopes that do not verify, or say something else than their row',
      'Swipes that never happened',
      'The last known state says something else than the newest report',
    ]);
  });

  it('finds intervals that do not hold the true moment, and counts those that are open', () => {
    const [first, second, third] = world().database.archive;
    if (!first || !second || !third) throw new Error('There are three');
    const early = { ...first, latest: new Date(NOON - 100) };
    const late = { ...second, earliest: new Date(NOON + 1_100) };
    const found = world({ archive: [early, late, { ...third, earliest: null }] });
    expect(judge([found]).intervals).toEqual({ judged: 3, false: 2, open: 1 });
    expect(findings(found)).toEqual(['Intervals that do not hold the true moment']);
  });

  it('finds a routine report that reached the disk of the agent and is lost', () => {
    const spilled = { ...world(), kept: { events: [], routine: [place(1), place(7)] } };
    expect(judge([spilled]).spilled).toEqual({ kept: 2, lost: 1 });
    expect(findings(spilled)).toEqual(['Routine reports on the disk of the agent and not in the archive']);
  });

  it('finds changes that are lost, there twice, told by nobody, or at a wrong moment', () => {
    const [first, second] = changes;
    if (!first || !second) throw new Error('There are two');
    const of = (stored: readonly StoredChange[]): string[] => findings(world({ changes: stored }));
    expect(of([first])).toEqual(['Changes that a recorded report tells of and that are not stored']);
    expect(of([first, second, second])).toEqual(['Changes that are stored more than once']);
    expect(of([first, second, { ...second, changes: 3 }])).toEqual(['Changes that no recorded report tells of']);
    const wrong = ['Changes whose moment or interval is not the true one'];
    expect(of([{ ...first, uptimeMs: first.uptimeMs + 100 }, second])).toEqual(wrong);
    expect(of([{ ...first, latest: new Date(NOON - 600) }, second])).toEqual(wrong);
    expect(judge([world({ changes: [first] })]).changes).toMatchObject({ told: 2, stored: 1, lost: 1 });
  });

  it('adds up what it finds of several kiosks', () => {
    const { events, findings } = judge([world(), { ...world({ incarnations: 2 }), device: 'kiosk-0002' }]);
    expect(events).toMatchObject({ sent: 6, recorded: 6, lost: 0 });
    expect(findings).toEqual(['kiosk-0002: The device had 2 incarnations']);
  });

  it('finds starts that do not fit', () => {
    expect(findings(world({ incarnations: 2 }))).toEqual(['The device had 2 incarnations']);
    expect(findings({ ...world(), agent: { starts: [1, 1], lives: 2 } })).toEqual([
      'The starts of the agent do not grow',
    ]);
    expect(findings({ ...world(), agent: { starts: [1, 2], lives: 2 } })).toEqual([
      'The agent counted 1 starts in 2 lives, and told of 2',
    ]);
    expect(findings({ ...world(), agent: { starts: [1], lives: 2 } })).toEqual([]);
    const { starts } = world().database;
    const beyond = { incarnation: INCARNATION, start: 7, recorded: [] };
    expect(findings(world({ starts: [...starts, beyond] }))).toEqual(['Starts that the agent never had']);
  });
});
