import type { ServiceCode } from './doctor-codes.ts';
import type { Finding } from './finding.ts';
import type { MachineCare, UnitFacts } from './ports-systemd.ts';

const OFF = ['0', ''];

/** Whether a machine that freezes is reset. */
export function judgeWatchdog({ devices, isRunning, runtime }: MachineCare['watchdog']): Finding {
  const check = 'watchdog of the machine';
  const [first] = devices;
  const warning = (code: ServiceCode, message: string): Finding => ({ check, status: 'warn', code, message });
  if (first === undefined) {
    const advice = 'load the driver of the board (modprobe, /etc/modules-load.d), or softdog where it has none';
    return warning('watchdog_missing', `There is no /dev/watchdog0, so a machine that freezes stays so: ${advice}`);
  }
  if (runtime !== null && !OFF.includes(runtime))
    return { check, status: 'ok', message: `systemd feeds ${first} (RuntimeWatchdogSec ${runtime})` };
  if (isRunning) return { check, status: 'ok', message: `A program that is not systemd feeds ${first}` };
  const advice =
    'RuntimeWatchdogSec=30s below [Manager] in /etc/systemd/system.conf.d/watchdog.conf, then systemctl daemon-reexec';
  return warning('watchdog_off', `Nobody feeds ${first}, so a machine that freezes stays so: ${advice}`);
}

const SETS_CLOCK = 'The agent sets it (clock.setSystemClock)';
const CAPABILITY = 'cap_sys_time';

/** The settings that are looked at. */
export const CLOCK_SETTINGS = ['AmbientCapabilities'];

/**
 * Whether something keeps the machine's clock. Reports do not need it; cron and people do.
 * @param unit null where it is not loaded
 */
export function judgeClockKeeper(
  { keepers, isSynchronised }: MachineCare['clock'],
  setsClock: boolean,
  unit: Pick<UnitFacts, 'settings'> | null,
): Finding {
  const check = 'clock synchronisation';
  const [warning, also] = [
    (code: ServiceCode, message: string): Finding => ({ check, status: 'warn', code, message }),
    setsClock ? `; ${SETS_CLOCK}` : '',
  ];
  if (setsClock && unit !== null && !(unit.settings['AmbientCapabilities'] ?? '').split(' ').includes(CAPABILITY))
    return warning(
      'clock_not_permitted',
      `clock.setSystemClock is on, and the unit does not let the agent: set-clock.conf in /usr/share/doc/paddock-agent/examples`,
    );
  if (isSynchronised)
    return { check, status: 'ok', message: `By ${keepers.join(', ') || 'a program of its own'}${also}` };
  if (setsClock) return { check, status: 'ok', message: SETS_CLOCK };
  if (keepers.length > 0)
    return warning(
      'clock_unsynchronised',
      `${keepers.join(', ')} runs and is not synchronised: does it reach a time server (timedatectl timesync-status, chronyc sources)?`,
    );
  return warning(
    'clock_unkept',
    'Nothing synchronises the clock: apt-get install systemd-timesyncd, or set clock.setSystemClock',
  );
}

export function judgeRtc({ hasRtc }: MachineCare['clock'], setsClock: boolean): Finding {
  const check = 'real-time clock';
  if (hasRtc) return { check, status: 'ok', message: 'The machine has one' };
  const message =
    'There is none: after a power cut the clock is wrong until it is set. Reports are placed by uptime nevertheless';
  return setsClock
    ? { check, status: 'ok', message }
    : { check, status: 'warn', code: 'rtc_missing' satisfies ServiceCode, message };
}

const KEEPING = 'mkdir -p /var/log/journal, SystemMaxUse=64M in /etc/systemd/journald.conf, journalctl --flush';

/** Whether the log outlives a boot. The agent's flight recorder does, whatever becomes of the log. */
export function judgeJournal({ place, limit }: MachineCare['journal']): Finding {
  const check = 'journal';
  const warning = (code: ServiceCode, message: string): Finding => ({ check, status: 'warn', code, message });
  if (place === 'nowhere') return warning('journal_missing', `journald keeps nothing: ${KEEPING}`);
  if (place === 'memory') {
    const bound = limit === null ? '' : `, ${limit} of it at most`;
    return warning(
      'journal_volatile',
      `The journal is in memory${bound}, and gone with each boot. To keep it: ${KEEPING}`,
    );
  }
  const bound = limit === null ? 'a tenth of its file system at most, and never more than 4 GB' : `${limit} at most`;
  return { check, status: 'ok', message: `On the disk, ${bound}` };
}

/** Whether the kernel's last words outlive a panic. */
export function judgePanics(pstore: string | null): Finding {
  const check = 'kernel panics';
  if (pstore !== null) return { check, status: 'ok', message: `${pstore} keeps what the kernel says at last` };
  const message =
    'Nothing keeps what the kernel says at last (pstore), so a panic is told as power or watchdog: boot by EFI, or set ramoops up';
  return { check, status: 'warn', code: 'pstore_missing' satisfies ServiceCode, message };
}
