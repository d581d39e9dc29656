import { judgeRestart, judgeSlots, unfit } from '@paddock/agent/doctor-rauc.ts';
import { InstallError } from '@paddock/agent/ports-firmware.ts';
import type { RaucSlot } from '@paddock/agent/ports-rauc.ts';
import { describe, expect, it } from 'vitest';

const slot = (name: string, more: Partial<RaucSlot> = {}): RaucSlot => ({
  name,
  group: 'rootfs',
  isBooted: false,
  isPrimary: false,
  stamp: null,
  ...more,
});

describe('what the doctor says of RAUC', () => {
  it('is from which slot the machine runs, and into which one is installed', () => {
    const finding = judgeSlots([
      slot('rootfs.0'),
      slot('rootfs.1', { isBooted: true }),
      slot('rescue.0', { group: 'r' }),
    ]);
    expect(finding).toMatchObject({ status: 'ok', message: 'Runs from rootfs.1 (b), and installs into rootfs.0 (a)' });
  });

  it('is why nothing can be installed', () => {
    expect(() => judgeSlots([slot('rootfs.0', { isBooted: true })])).toThrow(InstallError);
    const denied = new InstallError('install_rauc_denied', 'AccessDenied');
    expect(unfit(denied)).toMatchObject({
      status: 'fail',
      code: 'install_rauc_denied',
      message: expect.stringMatching(/^Nothing can be installed[.] .*AccessDenied$/),
    });
    expect(() => unfit(new TypeError('ours'))).toThrow('ours');
  });

  it.each([
    ['s "yes"\n', 'ok', undefined],
    ['s "no"\n', 'fail', 'rauc_restart_denied'],
    ['s "challenge"\n', 'fail', 'rauc_restart_denied'],
    ['', 'warn', 'rauc_restart_unknown'],
    [null, 'warn', 'rauc_restart_unknown'],
  ])('is whether the machine may be started again: %j', (answer, status, code) => {
    const finding = judgeRestart(answer);
    expect([finding.status, finding.code]).toEqual([status, code]);
    if (code !== undefined) expect(finding.message).toContain('org.freedesktop.login1.reboot');
  });
});
