import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createOverseer } from '@paddock/agent/adapters/systemd.ts';
import { createAsk } from '@paddock/agent/adapters/systemd/ask.ts';
import { findDevices } from '@paddock/agent/adapters/systemd/devices.ts';
import { machineGoesDown } from '@paddock/agent/adapters/systemd/going-down.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import type { Overseen } from '@paddock/agent/ports-systemd.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** As systemd 252 says it of the package's units. */
const SHOWN = `Restart=always
WatchdogUSec=1min
Result=exit-code
NRestarts=15
ExecMainStatus=203
DevicePolicy=closed
DeviceAllow=char-rtc r
DeviceAllow=char-ttyS rw
User=paddock
Group=paddock
SupplementaryGroups=dialout gpio
Id=paddock-agent.service
LoadState=loaded
ActiveState=activating
SubState=auto-restart
DropInPaths=/etc/systemd/system/paddock-agent.service.d/a.conf /etc/systemd/system/paddock-agent.service.d/b.conf
UnitFileState=enabled
ActiveEnterTimestampMonotonic=0
ConditionResult=yes

Id=paddock-launcher.service
Result=success
NRestarts=0
ExecMainStatus=0
LoadState=loaded
ActiveState=active
SubState=running
DropInPaths=
UnitFileState=disabled
ActiveEnterTimestampMonotonic=1000000
ConditionResult=no
`;
const SYSTEMCTL = `case "$*" in
*RuntimeWatchdogUSec) echo RuntimeWatchdogUSec=30s ;;
*Id,ActiveState*) printf 'Id=chrony.service\\nActiveState=active\\n\\nId=ntp.service\\nActiveState=inactive\\n' ;;
*) cat <<'SHOWN'
${SHOWN}SHOWN
esac`;
const GETENT = `shift
for one; do case $one in
paddock | 103) echo paddock:x:103: ;;
dialout | 20) echo dialout:x:20:paddock ;;
kiosk) echo kiosk:x:900:screen ;;
*) missing=yes ;;
esac; done
[ -z "$missing" ] || exit 2`;

const clock = createSystemClock();
let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'paddock-systemd-'));
  program('systemctl', SYSTEMCTL);
  program('timedatectl', 'echo CanNTP=yes; echo NTPSynchronized=yes');
  program('getent', GETENT);
  program('id', '[ "$1" = -u ] && echo 103 || echo "103 5"');
  put('run/systemd/system/.keep', '');
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

function put(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(join(home, path)), { recursive: true });
  writeFileSync(join(home, path), text, { mode });
}
const program = (name: string, script: string): void => put(`bin/${name}`, `#!/bin/sh\n${script}\n`, 0o755);

const look = (groups: readonly string[] = []): Promise<Overseen | null> =>
  createOverseer(clock, ['User', 'DeviceAllow'], {
    root: home,
    path: `${join(home, 'bin')}:/usr/bin:/bin`,
    withinMs: 1_000,
  }).look([], groups);

describe('what systemd is asked', () => {
  it('is what units and machine are like', async () => {
    put('etc/machine-id', 'b2878b476db34cfe843d86fd09bdd9b3\n');
    put('var/log/journal/b2878b476db34cfe843d86fd09bdd9b3/system.journal', '');
    put('etc/systemd/journald.conf', '[Journal]\n#SystemMaxUse=1G\nSystemMaxUse=2G\n');
    put('usr/lib/systemd/journald.conf.d/50-size.conf', '[Journal]\nSystemMaxUse=3G\n');
    put('etc/systemd/journald.conf.d/50-size.conf', '[Journal]\nSystemMaxUse = 64M \n');
    put('etc/systemd/journald.conf.d/60-other.txt', '[Journal]\nSystemMaxUse=5G\n');
    put('dev/watchdog0', '');
    put('sys/class/watchdog/watchdog0/state', 'active\n');
    put('sys/class/rtc/rtc0/name', '');
    put('sys/module/pstore/parameters/backend', 'ramoops\n');
    const overseen = await look(['kiosk', 'nobody-has-it']);
    expect(overseen).toMatchObject({
      agent: {
        name: 'paddock-agent.service',
        load: 'loaded',
        file: 'enabled',
        active: 'activating',
        sub: 'auto-restart',
        result: 'exit-code',
        exitStatus: '203',
        restarts: 15,
        activeForMs: null,
        isConditionMet: true,
        dropIns: [
          '/etc/systemd/system/paddock-agent.service.d/a.conf',
          '/etc/systemd/system/paddock-agent.service.d/b.conf',
        ],
        settings: { User: 'paddock', DeviceAllow: 'char-rtc r\nchar-ttyS rw' },
      },
      launcher: { name: 'paddock-launcher.service', isConditionMet: false, dropIns: [] },
      user: { name: 'paddock', uid: 103, gids: [103, 5, 20] },
      care: {
        watchdog: { devices: ['/dev/watchdog0'], isRunning: true, runtime: '30s' },
        clock: { keepers: ['chrony'], isSynchronised: true, hasRtc: true },
        journal: { place: 'disk', limit: '64M' },
        pstore: 'ramoops',
      },
    });
    expect(overseen?.launcher?.activeForMs).toBeGreaterThan(0);
    expect([overseen?.groups.get('kiosk'), overseen?.groups.get('nobody-has-it')]).toEqual([900, undefined]);
  });

  it('is nothing where systemd does not run the machine', async () => {
    rmSync(join(home, 'run'), { recursive: true });
    expect(await look()).toBeNull();
  });

  it('is what is there, when programs are missing and files are not', async () => {
    for (const name of ['systemctl', 'timedatectl', 'getent', 'id']) program(name, 'exit 1');
    put('sys/module/pstore/parameters/backend', '(null)\n');
    expect(await look()).toMatchObject({
      agent: null,
      launcher: null,
      user: null,
      care: {
        watchdog: { devices: [], isRunning: false, runtime: null },
        clock: { keepers: [], isSynchronised: false, hasRtc: false },
        journal: { place: 'nowhere', limit: null },
        pstore: null,
      },
    });
  });

  it('is a journal in memory while it writes there, whatever an earlier one left on the disk', async () => {
    put('etc/machine-id', 'abc\n');
    put('var/log/journal/abc/system.journal', '');
    put('run/log/journal/abc/system.journal', '');
    put('etc/systemd/journald.conf', '[Journal]\nSystemMaxUse=1G\nRuntimeMaxUse=8M\n');
    expect((await look())?.care.journal).toEqual({ place: 'memory', limit: '8M' });
    rmSync(join(home, 'run/log'), { recursive: true });
    put('run/log/journal/another-machine/system.journal', '');
    expect((await look())?.care.journal).toEqual({ place: 'disk', limit: '1G' });
  });

  it('is not waited for while somebody holds the answer open who will not end', async () => {
    const holder = join(home, 'holder');
    program('timedatectl', `trap '' TERM INT; sleep 600 & echo $! >${holder}; exec sleep 600`);
    expect(await look()).toMatchObject({
      agent: { load: 'loaded' },
      care: { watchdog: { runtime: '30s' }, clock: { isSynchronised: false } },
    });
    // It is still there, and ends by this.
    expect(process.kill(Number(readFileSync(holder, 'utf8')), 'SIGKILL')).toBe(true);
  });
});

it('what a program says is heard, also where it does not end well; one that cannot be started says nothing', async () => {
  const ask = createAsk(clock, `${join(home, 'bin')}:/bin`);
  program('half', 'echo heard; exit 2');
  expect(await ask('half')).toBe('heard\n');
  expect(await ask('not-there')).toBeNull();
});

it('a program that cannot even be killed is not waited for', async () => {
  program('stuck', 'exec sleep 2');
  // Its time is over at once, and it is not killed.
  const over = { sleep: () => Promise.resolve() };
  expect(await createAsk(over, `${join(home, 'bin')}:/bin`, 60_000)('stuck')).toBeNull();
});

describe('devices', () => {
  const PROC = 'Character devices:\n  1 mem\n  4 tty\n  4 ttyS\n\nBlock devices:\n  1 ramdisk\n';

  it('are known by the number that the kernel has of them', async () => {
    expect(await findDevices('/', ['/dev/null', '/dev/not-there', '/etc/passwd'], PROC)).toEqual([
      { path: '/dev/null', uid: 0, gid: 0, mode: 0o666, number: '1:3', classes: ['mem'] },
    ]);
  });

  it('are found behind the name that leads to them', async () => {
    expect(await findDevices('/', ['/dev/stdin', '/proc/self/root/dev/null'], PROC)).toContainEqual(
      expect.objectContaining({ path: '/dev/null' }),
    );
  });
});

describe('whether the machine is being shut down', () => {
  const asked = (): Promise<boolean | null> =>
    machineGoesDown(clock, { root: home, path: `${join(home, 'bin')}:/usr/bin:/bin` });

  it.each([
    ['echo stopping; exit 1', true],
    ['echo running', false],
    ['echo degraded; exit 1', false],
    ['echo unknown; exit 1', null],
    ['exit 1', null],
    ['sleep 60', null],
  ])('by systemctl that does %j', async (script, goesDown) => {
    program('systemctl', script);
    expect(await asked()).toBe(goesDown);
  });

  it('nobody says where systemd does not run it', async () => {
    program('systemctl', 'echo stopping');
    rmSync(join(home, 'run'), { recursive: true });
    expect(await asked()).toBeNull();
  });
});
