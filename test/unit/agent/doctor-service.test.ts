import { readConfig } from '@paddock/agent/config.ts';
import { judgeDevice, judgeLocalGroup, devicesOf } from '@paddock/agent/doctor-access.ts';
import { judgeClockKeeper, judgeJournal, judgePanics, judgeRtc, judgeWatchdog } from '@paddock/agent/doctor-machine.ts';
import { judgeSelf, judgeService } from '@paddock/agent/doctor-service.ts';
import { HELD_SETTINGS, judgeHardening, judgeUnit } from '@paddock/agent/doctor-unit.ts';
import type { Finding } from '@paddock/agent/finding.ts';
import type { DeviceFacts, Overseen, UnitFacts } from '@paddock/agent/ports-systemd.ts';
import { describe, expect, it } from 'vitest';

/** As the package's unit is shown by systemd. */
const SETTINGS = {
  User: 'paddock',
  Group: 'paddock',
  SupplementaryGroups: 'dialout gpio',
  DevicePolicy: 'closed',
  DeviceAllow: 'char-ttyS rw\nchar-ttyUSB rw\nchar-gpiochip rw',
  NoNewPrivileges: 'yes',
  ProtectSystem: 'strict',
  ProtectHome: 'yes',
  PrivateTmp: 'yes',
  ProtectKernelModules: 'yes',
  ProtectKernelTunables: 'yes',
  ProtectControlGroups: 'yes',
  ProtectClock: 'yes',
  CapabilityBoundingSet: '',
  AmbientCapabilities: '',
  RestrictSUIDSGID: 'yes',
  Restart: 'always',
  WatchdogUSec: '1min',
};
const unit = (more: Partial<UnitFacts> = {}, settings: Record<string, string> = {}): UnitFacts => ({
  name: 'paddock-agent.service',
  load: 'loaded',
  file: 'enabled',
  active: 'active',
  sub: 'running',
  result: 'success',
  exitStatus: '0',
  restarts: 0,
  activeForMs: 3_600_000,
  isConditionMet: true,
  dropIns: [],
  ...more,
  settings: { ...SETTINGS, ...settings },
});
const stopped = (more: Partial<UnitFacts>): UnitFacts => unit({ active: 'inactive', activeForMs: null, ...more });
const word = ({ status, code = '' }: Finding): string => `${status} ${code}`.trim();

describe('what the doctor says of the unit', () => {
  it.each<[string, UnitFacts, string, string]>([
    ['that runs', unit(), 'ok', 'active for 3600 s and enabled, started again 0 times by systemd'],
    ['that another one starts', unit({ file: 'static' }), 'ok', 'static'],
    ['that was restarted long ago', unit({ restarts: 9 }), 'ok', 'started again 9 times'],
    ['that was restarted just now, once', unit({ restarts: 1, activeForMs: 5_000 }), 'ok', 'active for 5 s'],
    [
      'that was restarted just now, often',
      unit({ restarts: 3, activeForMs: 5_000 }),
      'warn unit_restarts',
      'active for 5 s only, started again 3 times by systemd: journalctl -u paddock-agent.service',
    ],
    [
      'that ends again and again',
      unit({ active: 'activating', sub: 'auto-restart', result: 'exit-code', exitStatus: '70', restarts: 12 }),
      'fail unit_restarting',
      'started again 12 times by systemd, at last by exit code 70',
    ],
    [
      'that ends again and again, by its watchdog',
      unit({ active: 'activating', sub: 'auto-restart', result: 'watchdog', exitStatus: '6', restarts: 2 }),
      'fail unit_restarting',
      'at last by watchdog: journalctl',
    ],
    ['that starts', unit({ active: 'activating', sub: 'start' }), 'warn unit_starting', 'activating, start'],
    [
      'that has failed',
      unit({ active: 'failed', result: 'exit-code', exitStatus: '2' }),
      'fail unit_failed',
      'failed (exit code 2)',
    ],
    [
      'of a device that is retired',
      unit({ active: 'failed', result: 'exit-code', exitStatus: '3' }),
      'fail unit_retired',
      'retired',
    ],
    ['that was stopped', stopped({}), 'fail unit_inactive', 'systemctl start paddock-agent.service'],
    ['that is not started at boot', unit({ file: 'disabled' }), 'fail unit_disabled', 'systemctl enable --now'],
    ['that is gone with this boot', unit({ file: 'enabled-runtime' }), 'fail unit_disabled', 'enabled-runtime'],
    ['that was never enabled', stopped({ file: 'disabled' }), 'fail unit_disabled', 'systemctl enable --now'],
    ['that has no configuration', stopped({ isConditionMet: false }), 'warn unit_waiting', 'paddock-agent-setup'],
    [
      'that is masked',
      stopped({ load: 'masked', file: 'masked' }),
      'fail unit_masked',
      'systemctl unmask paddock-agent.service',
    ],
    ['that is masked until the next boot, and runs', unit({ file: 'masked-runtime' }), 'fail unit_masked', 'masked'],
    [
      'that cannot be read',
      stopped({ load: 'bad-setting' }),
      'fail unit_broken',
      '(bad-setting): systemd-analyze verify',
    ],
  ])('%s', (_what, facts, verdict, says) => {
    const finding = judgeUnit('service', facts);
    expect([word(finding), finding.message]).toEqual([verdict, expect.stringContaining(says)]);
  });
});

describe('what the doctor says of the hardening', () => {
  it('nothing where it is as the package has it, whatever drop-ins are there', () => {
    expect(judgeHardening(unit(), false)).toMatchObject({ status: 'ok', message: 'As the package has it' });
    const tpm = unit({ dropIns: ['/etc/tpm.conf'] }, { SupplementaryGroups: 'tss', DevicePolicy: 'strict' });
    expect(judgeHardening(tpm, false)).toMatchObject({
      status: 'ok',
      message: expect.stringContaining('/etc/tpm.conf'),
    });
  });

  it.each(Object.keys(SETTINGS).filter((name) => HELD_SETTINGS.includes(name)))('each that is looser: %s', (name) => {
    const loose = { User: 'root', WatchdogUSec: '0' }[name] ?? 'no';
    const finding = judgeHardening(unit({ dropIns: ['/etc/x.conf'] }, { [name]: loose }), false);
    expect(finding).toMatchObject({ status: 'warn', code: 'unit_loosened' });
    expect(finding.message).toContain(name.replace('USec', 'Sec'));
    expect(finding.message).toContain('/etc/x.conf');
  });

  it('only what the clock needs may be looser, and only where it is configured', () => {
    const clock = { ProtectClock: 'no', CapabilityBoundingSet: 'cap_sys_time', AmbientCapabilities: 'cap_sys_time' };
    expect(judgeHardening(unit({}, clock), true).status).toBe('ok');
    expect(judgeHardening(unit({}, clock), false).message).toContain('CapabilityBoundingSet=cap_sys_time');
    const more = { ...clock, CapabilityBoundingSet: 'cap_sys_time cap_sys_admin' };
    expect(judgeHardening(unit({}, more), true).message).toContain('cap_sys_admin');
  });

  it('says nothing of the watchdog of a unit that does not run: systemd shows none', () => {
    expect(judgeHardening({ ...stopped({}), settings: { ...SETTINGS, WatchdogUSec: '0' } }, false).status).toBe('ok');
  });

  it('says nothing of a setting that an older systemd does not know', () => {
    const { ProtectClock: _, ...older } = SETTINGS;
    expect(judgeHardening({ ...unit(), settings: older }, false).status).toBe('ok');
  });
});

const PADDOCK = { name: 'paddock', uid: 103, gids: [103, 20] };
const device = (more: Partial<DeviceFacts> = {}): DeviceFacts => ({
  path: '/dev/ttyUSB0',
  uid: 0,
  gid: 20,
  group: 'dialout',
  mode: 0o660,
  number: '188:0',
  classes: ['ttyUSB'],
  ...more,
});

describe('what the doctor says of a device', () => {
  it.each<[string, DeviceFacts, Record<string, string>, string, string]>([
    ['of a group of the user', device(), {}, 'ok', 'group dialout, mode 0660: paddock may use it'],
    ['of another group', device({ gid: 5, group: 'plugdev' }), {}, 'fail device_group', 'adduser paddock plugdev'],
    ['for which nothing is loaded', device({ classes: [] }), {}, 'fail device_driverless', '(188:0)'],
    ['of the group of root', device({ gid: 0, group: 'root' }), {}, 'fail device_group', 'udev rule'],
    ['that the group may only read', device({ mode: 0o640 }), {}, 'fail device_group', 'mode 0640'],
    ['of another group that may only read', device({ gid: 5, mode: 0o640 }), {}, 'fail device_group', 'udev rule'],
    ['for everybody', device({ gid: 0, mode: 0o666 }), {}, 'ok', ''],
    ['for everybody but its group', device({ mode: 0o606 }), {}, 'fail device_group', 'mode 0606'],
    ['of the user', device({ uid: 103, gid: 0, mode: 0o600 }), {}, 'ok', ''],
    ['of the user, who took the right away', device({ uid: 103, mode: 0o060 }), {}, 'fail device_group', 'mode 0060'],
    [
      'whose class the unit has not',
      device({ classes: ['ttyXR'] }),
      {},
      'fail device_denied',
      'DeviceAllow=char-ttyXR rw',
    ],
    ['one of whose classes the unit has', device({ classes: ['/dev/vc/0', 'tty', 'ttyS'] }), {}, 'ok', ''],
    ['with a pattern', device(), { DeviceAllow: 'char-tty* rw' }, 'ok', ''],
    ['with a pattern that means a dot', device(), { DeviceAllow: 'char-tty.SB rw' }, 'fail device_denied', ''],
    ['that may only be read', device(), { DeviceAllow: 'char-ttyUSB r' }, 'fail device_denied', ''],
    ['by its path', device(), { DeviceAllow: '/dev/ttyUSB0 rwm' }, 'ok', ''],
    ['by its number', device(), { DeviceAllow: '/dev/char/188:0 rw' }, 'ok', ''],
    ['that is a block device by that name', device(), { DeviceAllow: 'block-ttyUSB rw' }, 'fail device_denied', ''],
    ['without a policy', device(), { DevicePolicy: 'auto', DeviceAllow: '' }, 'ok', ''],
    ['with a list alone', device(), { DevicePolicy: 'auto', DeviceAllow: 'char-ttyS rw' }, 'fail device_denied', ''],
    ['that is a pseudo-terminal', device({ classes: ['pts'] }), {}, 'ok', ''],
    [
      'that is one, and nothing is let through',
      device({ classes: ['pts'] }),
      { DevicePolicy: 'strict' },
      'fail device_denied',
      '',
    ],
  ])('%s', (_what, facts, settings, verdict, says) => {
    const finding = judgeDevice(facts, PADDOCK, unit({}, settings));
    expect([word(finding), finding.message]).toEqual([verdict, expect.stringContaining(says)]);
    expect(finding.check).toBe('access to /dev/ttyUSB0');
  });

  it('root may use whatever the unit lets through', () => {
    const root = { name: 'root', uid: 0, gids: [0] };
    expect(judgeDevice(device({ mode: 0 }), root, unit()).status).toBe('ok');
    expect(judgeDevice(device({ classes: ['other'] }), root, unit()).code).toBe('device_denied');
  });

  it('looks at what the ports take', () => {
    const text = `
device: kiosk-0001
cloud: { url: 'mqtt://127.0.0.1' }
ports:
  panel: { kind: serial-lines, path: /dev/ttyS0, format: json }
  meter: { kind: modbus-rtu, path: /dev/ttyUSB0 }
  pins: { kind: gpio, chip: gpiochip0 }
  made: { kind: simulated }
`;
    expect(devicesOf(readConfig(text, '/etc/paddock/agent.yaml'))).toEqual(['/dev/ttyS0', '/dev/ttyUSB0', 'gpiochip0']);
  });
});

it('the group of the local interface has to be one of the service', () => {
  expect(judgeLocalGroup('kiosk', 20, PADDOCK).map(word)).toEqual(['ok']);
  expect(judgeLocalGroup('kiosk', 21, PADDOCK)).toMatchObject([
    { code: 'local_group_missing', message: expect.stringContaining('SupplementaryGroups=kiosk') },
  ]);
  expect(judgeLocalGroup('kiosk', 21, { ...PADDOCK, uid: 0 }).map(word)).toEqual(['ok']);
  expect(judgeLocalGroup('nobody-has-it', undefined, PADDOCK)).toEqual([]);
});

describe('what the doctor says of the machine', () => {
  const none = { devices: [], isRunning: false, runtime: '0' };
  const one = { ...none, devices: ['/dev/watchdog0'] };
  it.each([
    [none, 'warn watchdog_missing', 'softdog'],
    [one, 'warn watchdog_off', 'RuntimeWatchdogSec=30s'],
    [{ ...one, runtime: null }, 'warn watchdog_off', 'RuntimeWatchdogSec=30s'],
    [{ ...one, runtime: '30s' }, 'ok', 'systemd feeds /dev/watchdog0 (RuntimeWatchdogSec 30s)'],
    [{ ...one, runtime: 'infinity' }, 'ok', 'systemd feeds'],
    [{ ...one, isRunning: true }, 'ok', 'not systemd'],
    [{ ...none, runtime: '30s' }, 'warn watchdog_missing', 'no /dev/watchdog0'],
  ])('of its watchdog: %j', (facts, verdict, says) => {
    const finding = judgeWatchdog(facts);
    expect([word(finding), finding.message]).toEqual([verdict, expect.stringContaining(says)]);
  });

  const alone = { keepers: [], isSynchronised: false, hasRtc: true };
  const kept = { ...alone, keepers: ['systemd-timesyncd'] };
  it.each([
    [{ ...kept, isSynchronised: true }, false, 'ok', 'By systemd-timesyncd'],
    [{ ...alone, isSynchronised: true }, false, 'ok', 'a program of its own'],
    [kept, false, 'warn clock_unsynchronised', 'systemd-timesyncd runs and is not synchronised'],
    [alone, false, 'warn clock_unkept', 'Nothing synchronises the clock'],
    [alone, true, 'ok', 'The agent sets it'],
    [{ ...kept, isSynchronised: true }, true, 'ok', 'By systemd-timesyncd; The agent sets it'],
  ])('of who keeps its clock: %j, the agent: %j', (facts, setsClock, verdict, says) => {
    const finding = judgeClockKeeper(facts, setsClock, unit({}, { AmbientCapabilities: 'cap_sys_time' }));
    expect([word(finding), finding.message]).toEqual([verdict, expect.stringContaining(says)]);
  });

  it('of an agent that shall set the clock, and may not', () => {
    expect(judgeClockKeeper(alone, true, unit())).toMatchObject({
      code: 'clock_not_permitted',
      message: expect.stringContaining('set-clock.conf'),
    });
  });

  it('of its real-time clock', () => {
    expect([true, false].map((hasRtc) => word(judgeRtc({ ...alone, hasRtc }, false)))).toEqual([
      'ok',
      'warn rtc_missing',
    ]);
    expect(judgeRtc({ ...alone, hasRtc: false }, true)).toMatchObject({ status: 'ok', message: /There is none/ });
  });

  it.each([
    [{ place: 'disk', limit: '64M' }, 'ok', '64M at most'],
    [{ place: 'disk', limit: null }, 'ok', 'a tenth'],
    [{ place: 'memory', limit: null }, 'warn journal_volatile', 'gone with each boot'],
    [{ place: 'memory', limit: '8M' }, 'warn journal_volatile', '8M of it at most'],
    [{ place: 'nowhere', limit: null }, 'warn journal_missing', 'mkdir -p /var/log/journal'],
  ] as const)('of its journal: %j', (facts, verdict, says) => {
    const finding = judgeJournal(facts);
    expect([word(finding), finding.message]).toEqual([verdict, expect.stringContaining(says)]);
  });

  it('of what keeps the last words of the kernel', () => {
    expect(judgePanics('ramoops')).toMatchObject({ status: 'ok', message: expect.stringContaining('ramoops keeps') });
    expect(word(judgePanics(null))).toBe('warn pstore_missing');
  });
});

const OVERSEEN: Overseen = {
  agent: unit(),
  launcher: unit({ name: 'paddock-launcher.service', active: 'inactive', activeForMs: null, result: 'exec-condition' }),
  user: PADDOCK,
  self: { name: 'paddock', uid: 103 },
  devices: [device()],
  groups: new Map([['kiosk', 77]]),
  care: {
    watchdog: { devices: ['/dev/watchdog0'], isRunning: true, runtime: '30s' },
    clock: { keepers: ['chrony'], isSynchronised: true, hasRtc: true },
    journal: { place: 'disk', limit: null },
    pstore: 'efi_pstore',
  },
};
type Configured = Parameters<typeof judgeService>[0];
const configured = (more: Partial<Configured> = {}): Configured => ({
  file: '/etc/paddock/agent.yaml',
  firmware: undefined,
  local: undefined,
  clock: { setSystemClock: false, stepOverMs: 1_000 },
  ...more,
});

describe('what the doctor asks of systemd', () => {
  it('is one quiet line where nothing is run by it', () => {
    for (const overseen of [null, { ...OVERSEEN, agent: stopped({ load: 'not-found', file: '' }) }]) {
      const findings = judgeService(configured(), overseen);
      expect(findings).toMatchObject([
        { check: 'service', status: 'ok', message: expect.stringContaining('ot run by systemd') },
      ]);
    }
  });

  it('is said where it does not answer', () => {
    expect(judgeService(configured(), { ...OVERSEEN, agent: null }).map(word)).toEqual(['warn systemd_silent']);
  });

  it('is all well on a kiosk that is', () => {
    expect(judgeService(configured(), OVERSEEN).map(({ check, status }) => `${status} ${check}`)).toEqual([
      'ok service',
      'ok hardening of the service',
      'ok user',
      'ok access to /dev/ttyUSB0',
      'ok watchdog of the machine',
      'ok clock synchronisation',
      'ok real-time clock',
      'ok journal',
      'ok kernel panics',
    ]);
  });

  it('is nothing of the rights of a unit that is masked, of which systemd shows none', () => {
    const agent = { ...stopped({ load: 'masked', file: 'masked' }), settings: { User: '', ProtectHome: 'no' } };
    const user = { name: 'root', uid: 0, gids: [0] };
    const findings = judgeService(configured({ clock: { setSystemClock: true, stepOverMs: 1 } }), {
      ...OVERSEEN,
      agent,
      user,
    });
    expect(findings.map(({ check, status }) => `${status} ${check}`)).toEqual([
      'fail service',
      'ok watchdog of the machine',
      'ok clock synchronisation',
      'ok real-time clock',
      'ok journal',
      'ok kernel panics',
    ]);
  });

  it('is the launcher, and the group of the socket, where they are configured', () => {
    const local = { socket: '/run/paddock/local.sock', group: 'kiosk', mode: '0660' } as Configured['local'];
    const firmware = { slots: '/var/lib/paddock/slots' } as Configured['firmware'];
    const findings = judgeService(configured({ local, firmware }), OVERSEEN);
    expect(
      findings.filter(({ status }) => status === 'fail').map(({ check, code }) => `${check}: ${code ?? ''}`),
    ).toEqual(['launcher: unit_inactive', 'group of the local interface: local_group_missing']);
  });

  it('is no launcher where RAUC installs', () => {
    const firmware = { rauc: { directory: '/data/rauc', reboot: ['true'], program: ['rauc'] } };
    expect(judgeService(configured({ firmware }), OVERSEEN).map(({ check }) => check)).not.toContain('launcher');
  });

  it('is asked as the user of the service, or says how', () => {
    expect(judgeSelf({ name: 'root', uid: 0 }, PADDOCK, '/etc/paddock/agent.yaml')).toMatchObject({
      status: 'warn',
      code: 'doctor_user',
      message: expect.stringContaining('runuser -u paddock -- paddock-agent doctor --config /etc/paddock/agent.yaml'),
    });
  });
});
