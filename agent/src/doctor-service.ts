import { createOverseer } from './adapters/systemd.ts';
import type { AgentConfig } from './config.ts';
import { ACCESS_SETTINGS, devicesOf, judgeDevice, judgeLocalGroup } from './doctor-access.ts';
import {
  CLOCK_SETTINGS,
  judgeClockKeeper,
  judgeJournal,
  judgePanics,
  judgeRtc,
  judgeWatchdog,
} from './doctor-machine.ts';
import { HELD_SETTINGS, judgeHardening, judgeUnit } from './doctor-unit.ts';
import type { ServiceCode } from './doctor-codes.ts';
import type { Finding } from './finding.ts';
import type { Overseen, ServiceUser, UnitFacts } from './ports-systemd.ts';
import type { Clock } from './ports.ts';

const CHECK = 'service';
const SETTINGS = [...HELD_SETTINGS, ...ACCESS_SETTINGS, ...CLOCK_SETTINGS];

/** How the agent is kept by systemd, and the machine with it; one line where it is not. */
export async function checkService(config: AgentConfig, clock: Clock): Promise<Finding[]> {
  const group = config.local?.group;
  const overseer = createOverseer(clock, SETTINGS);
  const overseen = await overseer.look(devicesOf(config), group === undefined ? [] : [group]);
  return judgeService(config, overseen);
}

/** @param overseen null where systemd does not run the machine */
export function judgeService(
  config: Pick<AgentConfig, 'file' | 'firmware' | 'local' | 'clock'>,
  overseen: Overseen | null,
): Finding[] {
  if (overseen === null) return [quiet('Not run by systemd: neither a unit nor the machine was looked at')];
  const { agent, launcher, user, care } = overseen;
  if (agent === null) {
    const message =
      'systemd says nothing of paddock-agent.service: does "systemctl status" answer, and is dbus installed?';
    return [{ check: CHECK, status: 'warn', code: 'systemd_silent' satisfies ServiceCode, message }];
  }
  if (agent.load === 'not-found')
    return [
      quiet('There is no paddock-agent.service: not run by systemd, so neither a unit nor the machine was looked at'),
    ];
  const { setSystemClock } = config.clock;
  // Of a unit that is not loaded, systemd shows what a unit without settings has.
  const isLoaded = agent.load === 'loaded';
  return [
    judgeUnit(CHECK, agent),
    ...(isLoaded ? [judgeHardening(agent, setSystemClock)] : []),
    ...(config.firmware?.slots === undefined || launcher === null ? [] : [judgeUnit('launcher', launcher)]),
    ...(isLoaded && user !== null ? judgeRights(config, overseen, { agent, user }) : []),
    judgeWatchdog(care.watchdog),
    judgeClockKeeper(care.clock, setSystemClock, isLoaded ? agent : null),
    judgeRtc(care.clock, setSystemClock),
    judgeJournal(care.journal),
    judgePanics(care.pstore),
  ];
}

/** What the service may do, and whether it is asked with the same rights. */
function judgeRights(
  { file, local }: Pick<AgentConfig, 'file' | 'local'>,
  { self, devices, groups }: Overseen,
  { agent, user }: { readonly agent: UnitFacts; readonly user: ServiceUser },
): Finding[] {
  const group = local?.group;
  return [
    judgeSelf(self, user, file),
    ...devices.map((device) => judgeDevice(device, user, agent)),
    ...(group === undefined ? [] : judgeLocalGroup(group, groups.get(group), user)),
  ];
}

const quiet = (message: string): Finding => ({ check: CHECK, status: 'ok', message });

/** Ports, key and connection are tried with the rights of whoever asks. */
export function judgeSelf(self: Overseen['self'], { name, uid }: ServiceUser, file: string): Finding {
  const check = 'user';
  if (self.uid === uid) return { check, status: 'ok', message: `This is ${name}, as whom the service runs` };
  const message = `This is ${self.name}, and the service runs as ${name}: what is found here need not be what it finds. As that user: runuser -u ${name} -- paddock-agent doctor --config ${file}`;
  return { check, status: 'warn', code: 'doctor_user' satisfies ServiceCode, message };
}
