import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasBegun, judge, type Heard } from '@paddock/cloud/rollouts/progress.ts';
import { UPDATE_STATES, type ReportedFirmware, type UpdateState } from '@paddock/shared/firmware.ts';
import { wallMs } from '@paddock/shared/time.ts';

const OLD = { name: 'kiosk', version: '1.0.0', counter: 1, sha256: '0'.repeat(64) };
const NEW = { name: 'kiosk', version: '1.1.0', counter: 2, sha256: '1'.repeat(64) };
const AT = 1_800_000_000_000;
const HOUR = 3_600_000;
const HANDED = { sha256: NEW.sha256, epoch: 0, version: 5, at: wallMs(AT) };

const says = (state: UpdateState, more: Partial<ReportedFirmware> = {}): ReportedFirmware => ({
  status: UPDATE_STATES[state],
  state,
  slot: 'a',
  running: OLD,
  committed: true,
  ...more,
});
const heard = (firmware: ReportedFirmware | null, more: Partial<Heard> = {}): Heard => ({
  firmware,
  desired: { epoch: 0, version: 5 },
  desiredError: null,
  changedAt: wallMs(AT + 1),
  heardAt: wallMs(AT + 1),
  ...more,
});
const judged = (one: Heard, afterMs = 60_000) => judge(HANDED, one, wallMs(AT + afterMs), HOUR);

describe('a device that was handed a release', () => {
  it('is updated when its report shows it running and committed, and by nothing less', () => {
    expect(judged(heard(says('committed', { running: NEW }))).state).toBe('updated');
    expect(judged(heard(says('trial', { running: NEW, committed: false, target: NEW }))).state).toBe('updating');
    expect(judged(heard(says('committed', { target: NEW }))).state).toBe('updating');
    expect(judged(heard(null)).state).toBe('updating');
  });

  it('tells where it is on its way, and how much of the download is there', () => {
    const one = judged(heard(says('downloading', { target: NEW, progressPercent: 41 })));
    expect(one).toEqual({ state: 'updating', code: null, detail: null, step: 'downloading', percent: 41 });
  });

  it('has failed with the code of its report', () => {
    const error = { code: 'health_probe_failed', detail: 'exit 1' };
    const one = judged(heard(says('rolled-back', { target: NEW, error })));
    expect(one).toMatchObject({ state: 'failed', code: error.code, detail: error.detail });
    expect(judged(heard(says('failed', { target: NEW })))).toMatchObject({ state: 'failed', code: 'failed' });
    const quarantined = heard(says('idle', { quarantined: [NEW.sha256] }));
    expect(judged(quarantined)).toMatchObject({ state: 'failed', code: 'release_quarantined' });
    const unread = heard(null, { desiredError: { code: 'key_unknown' } });
    expect(judged(unread)).toMatchObject({ state: 'failed', code: 'key_unknown' });
  });

  it('has not failed by what it said before it held this desired state', () => {
    const before = says('rolled-back', { target: NEW, error: { code: 'health_probe_failed' } });
    expect(judged(heard(before, { desired: { epoch: 0, version: 4 } })).state).toBe('updating');
    expect(judged(heard(before, { desired: null })).state).toBe('updating');
    expect(judged(heard(before, { desired: { epoch: 1, version: 1 } })).state).toBe('failed');
    expect(judged(heard(says('failed', { target: OLD }))).state).toBe('updating');
  });

  it('has stalled when nothing came of it for too long: silent, or heard and not moving', () => {
    const idle = heard(says('downloading', { target: NEW }));
    expect(judged(idle, HOUR).state).toBe('updating');
    expect(judged(idle, HOUR + 2)).toMatchObject({ state: 'stalled', code: 'device_silent' });
    const heardNow = { ...idle, heardAt: wallMs(AT + HOUR) };
    expect(judged(heardNow, HOUR + 2)).toMatchObject({ state: 'stalled', code: 'no_progress', step: 'downloading' });
    const unheard = heard(null, { changedAt: null, heardAt: null });
    expect(judged(unheard, HOUR).state).toBe('updating');
    expect(judged(unheard, HOUR + 1)).toMatchObject({ state: 'stalled', code: 'device_silent' });
  });

  it('may wait for its window, or for whoever uses it, as long as it is heard', () => {
    const waiting = heard(says('waiting-for-window', { target: NEW }), { heardAt: wallMs(AT + 30 * HOUR) });
    expect(judged(waiting, 30 * HOUR).state).toBe('updating');
    expect(judged(waiting, 32 * HOUR)).toMatchObject({ state: 'stalled', code: 'device_silent' });
  });

  it('has begun once what runs may change', () => {
    const begun = (Object.keys(UPDATE_STATES) as UpdateState[]).filter((state) =>
      hasBegun(heard(says(state, { target: NEW })), NEW.sha256),
    );
    expect(begun).toEqual(['armed', 'switched', 'trial', 'committed', 'rolling-back']);
    expect(hasBegun(heard(says('trial', { target: OLD })), NEW.sha256)).toBe(false);
  });

  it('stays updated whatever else it says, and however late it is', () => {
    const states = fc.constantFrom(...(Object.keys(UPDATE_STATES) as UpdateState[]));
    const targets = fc.constantFrom(undefined, OLD, NEW);
    fc.assert(
      fc.property(states, targets, fc.boolean(), fc.nat(100 * HOUR), (state, target, holds, afterMs) => {
        const firmware = says(state, { running: NEW, ...(target && { target }) });
        const one = heard(firmware, holds ? {} : { desired: null });
        expect(judged(one, afterMs).state).toBe('updated');
      }),
    );
  });
});
