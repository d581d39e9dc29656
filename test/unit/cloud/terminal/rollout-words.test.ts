import { describe, expect, it } from 'vitest';
import {
  ASSIGNED_DEVICE_COLUMNS,
  ASSIGNMENT_COLUMNS,
  assignmentSheet,
  firmwareSheet,
} from '@paddock/cloud/terminal/rollout-words.ts';
import { table } from '@paddock/cloud/terminal/table.ts';

const RELEASE = { name: 'kiosk', version: '1.1.0', counter: 2, sha256: '2'.repeat(64) };
const ASSIGNMENT = {
  assignmentId: 12,
  release: RELEASE,
  filter: { customer: 'acme' },
  standing: true,
  cap: 10,
  haltAfter: 3,
  state: 'halted',
  code: 'too_many_failures',
  detail: 'kiosk-1 update_probe_failed',
  createdAt: '2026-11-28T10:00:00.000Z',
  createdBy: 'token:operator',
  since: '2026-11-28T10:05:00.000Z',
  totals: { waiting: 7, failed: 3, updated: 0 },
};

describe('an assignment in words', () => {
  it('is a line of a list', () => {
    expect(table([ASSIGNMENT], ASSIGNMENT_COLUMNS).split('\n')[1]).toBe(
      '12          kiosk 1.1.0 (2)  halted (too_many_failures)  2026-11-28T10:05:00.000Z  7 waiting, 3 failed',
    );
  });

  it('says whom it is for, and why it halted', () => {
    const shown = assignmentSheet(ASSIGNMENT);
    expect(shown).toContain('customer acme, and those that come later');
    expect(shown).toMatch(/^detail {2,}kiosk-1 update_probe_failed$/m);
    expect(assignmentSheet({ ...ASSIGNMENT, filter: null, standing: false })).toContain('a list of devices');
    expect(assignmentSheet({ ...ASSIGNMENT, filter: {}, standing: false })).toMatch(/^for {2,}all devices$/m);
  });

  it('shows where its devices are on their way', () => {
    const since = '2026-11-28T10:05:00.000Z';
    const rows = [
      { deviceId: 'kiosk-1', state: 'updating', code: null, step: 'downloading', percent: 41, since, detail: null },
      { deviceId: 'kiosk-2', state: 'superseded', code: 'superseded', since, detail: null, supersededBy: 13 },
    ];
    expect(table(rows, ASSIGNED_DEVICE_COLUMNS).split('\n').slice(1)).toEqual([
      `kiosk-1  updating                 downloading 41 %  ${since}  -`,
      `kiosk-2  superseded (superseded)  -                 ${since}  by assignment 13`,
    ]);
  });
});

describe('what a device runs, in words', () => {
  const firmware = { status: 'Downloading', state: 'downloading', slot: 'a', running: RELEASE, committed: true };
  const body = { deviceId: 'kiosk-1', published: false, receivedAt: '2026-11-28T10:05:00.000Z', assignmentId: 12 };

  it('names what nobody published, and why an update failed', () => {
    const error = { code: 'update_probe_failed', detail: 'exit 1' };
    const shown = firmwareSheet({ ...body, firmware: { ...firmware, progressPercent: 41, target: RELEASE, error } });
    expect(shown).toMatch(/^runs {2,}kiosk 1\.1\.0 \(2\), which nobody published here$/m);
    expect(shown).toMatch(/^update {2,}downloading 41 % \(Downloading\)$/m);
    expect(shown).toMatch(/^error {2,}update_probe_failed: exit 1$/m);
  });

  it('says when it is nothing, when that is on trial, and when no report tells', () => {
    expect(firmwareSheet({ ...body, firmware: { ...firmware, running: null } })).toMatch(/^runs {2,}nothing$/m);
    expect(firmwareSheet({ ...body, firmware: { ...firmware, committed: false } })).toContain('a, not committed');
    expect(firmwareSheet({ ...body, firmware: null })).toContain('no report says anything of it');
  });
});
