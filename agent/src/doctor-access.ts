import type { AgentConfig } from './config.ts';
import type { ServiceCode } from './doctor-codes.ts';
import type { Finding } from './finding.ts';
import type { DeviceFacts, ServiceUser, UnitFacts } from './ports-systemd.ts';

const [READ_WRITE, OWNER, GROUP] = [0o6, 0o100, 0o10];

/** The settings that are looked at. */
export const ACCESS_SETTINGS = ['User', 'Group', 'SupplementaryGroups', 'DevicePolicy', 'DeviceAllow'];

/** Devices that the ports of the configuration take: paths, and names of GPIO chips. What a driver opens is its own. */
export const devicesOf = ({ ports }: Pick<AgentConfig, 'ports'>): string[] =>
  Object.values(ports).flatMap((port) => {
    if (port.kind === 'serial-lines' || port.kind === 'modbus-rtu') return [port.path];
    return port.kind === 'gpio' ? [port.chip] : [];
  });

/** Whether the service may use a device: by who the file belongs to, and by what the unit lets it open. */
export function judgeDevice(
  device: DeviceFacts,
  user: ServiceUser,
  { settings }: Pick<UnitFacts, 'settings'>,
): Finding {
  const check = `access to ${device.path}`;
  const { path, group, mode, number, classes } = device;
  const whose = `${path} is of the group ${group}, mode ${mode.toString(8).padStart(4, '0')}`;
  if (!mayUse(device, user)) {
    const message = `${whose}, and the user ${user.name} may not use it: ${adviceFor(device, user)}`;
    return { check, status: 'fail', code: 'device_group' satisfies ServiceCode, message };
  }
  const [name] = classes;
  if (name === undefined) {
    const message = `No driver of the kernel has the number of ${path} (${number}): is its module loaded (modprobe)?`;
    return { check, status: 'fail', code: 'device_driverless' satisfies ServiceCode, message };
  }
  if (!isLetThrough(device, settings['DevicePolicy'] ?? 'auto', settings['DeviceAllow'] ?? '')) {
    const message = `The unit keeps the agent from ${path}: systemctl edit paddock-agent, with [Service] and DeviceAllow=char-${name} rw`;
    return { check, status: 'fail', code: 'device_denied' satisfies ServiceCode, message };
  }
  return { check, status: 'ok', message: `${whose}: ${user.name} may use it` };
}

/** As the kernel decides: by the first of owner, group and others that fits, and by nothing else. */
function mayUse({ uid, gid, mode }: DeviceFacts, user: ServiceUser): boolean {
  if (user.uid === 0) return true;
  const shift = uid === user.uid ? OWNER : user.gids.includes(gid) ? GROUP : 1;
  return (Math.floor(mode / shift) & READ_WRITE) === READ_WRITE;
}

function adviceFor({ path, gid, group, mode }: DeviceFacts, { name, gids }: ServiceUser): string {
  const isForGroup = (Math.floor(mode / GROUP) & READ_WRITE) === READ_WRITE;
  if (isForGroup && gid !== 0 && !gids.includes(gid))
    return `adduser ${name} ${group}, and systemctl restart paddock-agent`;
  const kernel = path.slice('/dev/'.length);
  const rule = `KERNEL=="${kernel}", GROUP="${kernel.startsWith('gpiochip') ? 'gpio' : 'dialout'}", MODE="0660"`;
  return `give it a group of the agent's by a udev rule (${rule})`;
}

/** As systemd.resource-control(5) has it. What every unit may open, such as a pseudo-terminal, is no device of a kiosk. */
function isLetThrough({ path, number, classes }: DeviceFacts, policy: string, allowed: string): boolean {
  const entries = allowed.split('\n').filter(Boolean);
  if (policy === 'auto' && entries.length === 0) return true;
  if (policy !== 'strict' && classes.some((name) => ALWAYS.includes(name))) return true;
  return entries.some((entry) => {
    const [what = '', rights = 'rwm'] = entry.split(' ');
    if (!rights.includes('r') || !rights.includes('w')) return false;
    if (what === path || what === `/dev/char/${number}`) return true;
    return what.startsWith('char-') && classes.some((name) => fits(what.slice('char-'.length), name));
  });
}

const ALWAYS = ['pts'];

const fits = (glob: string, name: string): boolean =>
  new RegExp(
    `^${glob
      .replaceAll(/[.+^$()|\\{}]/g, String.raw`\$&`)
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  ).test(name);

/** The group that the socket for the kiosk's own software is given. Only who is in it may give it. */
export function judgeLocalGroup(group: string, id: number | undefined, { name, gids, uid }: ServiceUser): Finding[] {
  const check = 'group of the local interface';
  // That it is not there is told by the local interface.
  if (id === undefined) return [];
  if (uid === 0 || gids.includes(id)) return [{ check, status: 'ok', message: `${name} is in ${group}` }];
  const message = `The service is not in ${group}, so it cannot give its socket to it: systemctl edit paddock-agent, with [Service] and SupplementaryGroups=${group}`;
  return [{ check, status: 'fail', code: 'local_group_missing' satisfies ServiceCode, message }];
}
