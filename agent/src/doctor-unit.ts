import type { ServiceCode } from './doctor-codes.ts';
import type { Finding } from './finding.ts';
import type { UnitFacts } from './ports-systemd.ts';

/** Who was started again so lately, and so often, is not well. */
const LATELY_MS = 600_000;
const OFTEN = 3;
/** States of a unit file by which it is started at boot, or by another unit. */
const STARTS = ['enabled', 'static', 'alias', 'indirect', 'generated'];
/** The agent's own exit code for a device that is retired, for which the unit does not start it again. */
const RETIRED = '3';

interface Rule {
  readonly code: ServiceCode;
  readonly status: 'warn' | 'fail';
  readonly fits: (unit: UnitFacts) => boolean;
  readonly message: (unit: UnitFacts) => string;
}

/** The first that fits decides; a unit that none fits is well. */
const RULES: readonly Rule[] = [
  {
    code: 'unit_masked',
    status: 'fail',
    fits: ({ load, file }) => load === 'masked' || file.startsWith('masked'),
    message: ({ name }) => `${name} is masked, so that nothing starts it: systemctl unmask ${name}`,
  },
  {
    code: 'unit_broken',
    status: 'fail',
    fits: ({ load }) => load !== 'loaded',
    message: ({ name, load }) => `systemd cannot load ${name} (${load}): systemd-analyze verify ${name}`,
  },
  {
    code: 'unit_retired',
    status: 'fail',
    fits: ({ active, result, exitStatus }) => active === 'failed' && result === 'exit-code' && exitStatus === RETIRED,
    message: ({ name }) => `${name} has ended for good: the cloud has retired this device`,
  },
  {
    code: 'unit_failed',
    status: 'fail',
    fits: ({ active }) => active === 'failed',
    message: (unit) => `${unit.name} has failed (${resultOf(unit)}) and is not started again: ${log(unit)}`,
  },
  {
    code: 'unit_restarting',
    status: 'fail',
    fits: ({ sub }) => sub === 'auto-restart',
    message: (unit) => `${unit.name} ends again and again, ${times(unit)}, at last by ${resultOf(unit)}: ${log(unit)}`,
  },
  {
    code: 'unit_disabled',
    status: 'fail',
    fits: ({ file }) => !STARTS.includes(file),
    message: ({ name, file }) =>
      `${name} is not started at boot (${file || 'it has no file'}): systemctl enable --now ${name}`,
  },
  {
    code: 'unit_waiting',
    status: 'warn',
    fits: ({ active, isConditionMet }) => active === 'inactive' && !isConditionMet,
    message: ({ name }) => `${name} waits for /etc/paddock/agent.yaml: paddock-agent-setup makes it`,
  },
  {
    code: 'unit_inactive',
    status: 'fail',
    fits: ({ active }) => active === 'inactive' || active === 'deactivating',
    message: (unit) => `${unit.name} was stopped (${resultOf(unit)}): systemctl start ${unit.name}`,
  },
  {
    code: 'unit_starting',
    status: 'warn',
    fits: ({ active }) => active !== 'active',
    message: ({ name, active, sub }) => `${name} is being started (${active}, ${sub}): look again in a minute`,
  },
  {
    code: 'unit_restarts',
    status: 'warn',
    fits: ({ restarts, activeForMs }) => restarts >= OFTEN && activeForMs !== null && activeForMs < LATELY_MS,
    message: (unit) => `${unit.name} is active for ${seconds(unit)} only, ${times(unit)}: ${log(unit)}`,
  },
];

/** How a unit of the package is. @param check what it is called */
export function judgeUnit(check: string, unit: UnitFacts): Finding {
  const rule = RULES.find(({ fits }) => fits(unit));
  if (rule !== undefined) return { check, status: rule.status, code: rule.code, message: rule.message(unit) };
  return {
    check,
    status: 'ok',
    message: `${unit.name} is active for ${seconds(unit)} and ${unit.file}, ${times(unit)}`,
  };
}

const times = ({ restarts }: UnitFacts): string => `started again ${restarts} times by systemd`;
const seconds = ({ activeForMs }: UnitFacts): string => `${Math.round((activeForMs ?? 0) / 1000)} s`;
const log = ({ name }: UnitFacts): string => `journalctl -u ${name} -p warning`;
const resultOf = ({ result, exitStatus }: UnitFacts): string =>
  result === 'exit-code' ? `exit code ${exitStatus}` : result || 'no result';

/** What the package's unit says, and what more is meant where that is configured. */
interface Held {
  readonly is: readonly string[];
  readonly withClock?: string;
}

/** Of the hardening what one can see whole in one word; docs/operations.md tells of the rest. */
const HELD: Readonly<Record<string, Held>> = {
  NoNewPrivileges: { is: ['yes'] },
  ProtectSystem: { is: ['strict'] },
  ProtectHome: { is: ['yes'] },
  PrivateTmp: { is: ['yes'] },
  ProtectKernelModules: { is: ['yes'] },
  ProtectKernelTunables: { is: ['yes'] },
  ProtectControlGroups: { is: ['yes'] },
  ProtectClock: { is: ['yes'], withClock: 'no' },
  CapabilityBoundingSet: { is: [''], withClock: 'cap_sys_time' },
  AmbientCapabilities: { is: [''], withClock: 'cap_sys_time' },
  RestrictSUIDSGID: { is: ['yes'] },
  DevicePolicy: { is: ['closed', 'strict'] },
  Restart: { is: ['always'] },
};
const NO_WATCHDOG = ['', '0', 'infinity'];

/** The settings that are looked at. */
export const HELD_SETTINGS = [...Object.keys(HELD), 'User', 'WatchdogUSec'];

/** Whether the unit holds the agent to less than the package's does. @param setsClock as it is configured */
export function judgeHardening({ settings, dropIns, active }: UnitFacts, setsClock: boolean): Finding {
  const check = 'hardening of the service';
  const loose = Object.entries(HELD).flatMap(([name, { is, withClock }]) => {
    const value = settings[name];
    const isHeld = value === undefined || is.includes(value) || (setsClock && value === withClock);
    return isHeld ? [] : [`${name}=${value}`];
  });
  if (['', 'root'].includes(settings['User'] ?? '')) loose.push('User=root');
  // Of a unit that does not run, it is shown as none.
  if (active === 'active' && NO_WATCHDOG.includes(settings['WatchdogUSec'] ?? '')) loose.push('WatchdogSec=0');
  const by = dropIns.length === 0 ? '' : ` (with ${dropIns.join(', ')})`;
  if (loose.length === 0) return { check, status: 'ok', message: `As the package has it${by}` };
  const message = `Looser than the package has it: ${loose.join(', ')}${by}. Take out what the kiosk does not need`;
  return { check, status: 'warn', code: 'unit_loosened' satisfies ServiceCode, message };
}
