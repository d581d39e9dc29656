import { readdir, realpath, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { DeviceFacts } from '../../ports-systemd.ts';

type Found = Omit<DeviceFacts, 'group'>;

/** The files of the devices that are named: paths, and GPIO chips, which may be named by a label that is on any of them. */
export async function findDevices(root: string, named: readonly string[], procDevices: string): Promise<Found[]> {
  const chips = (await readdir(join(root, 'dev')).catch(() => [])).filter((name) => /^gpiochip\d+$/.test(name));
  const paths = named.flatMap((name) => {
    if (name.startsWith('/')) return [name];
    return (chips.includes(name) ? [name] : chips).map((chip) => `/dev/${chip}`);
  });
  const found = await Promise.all([...new Set(paths)].map((path) => deviceAt(root, path, procDevices)));
  return found.flatMap((device) => device ?? []);
}

/** Null for what is not there, or no character device. Names such as those in /dev/serial lead to the device itself. */
async function deviceAt(root: string, named: string, procDevices: string): Promise<Found | null> {
  const file = await realpath(join(root, named)).catch(() => '');
  const stats = await stat(file).catch(() => null);
  if (stats === null || !stats.isCharacterDevice()) return null;
  const { uid, gid, mode, rdev } = stats;
  const [major, minor] = numbersOf(rdev);
  const path = `/${relative(root, file)}`;
  return { path, uid, gid, mode: mode & 0o777, number: `${major}:${minor}`, classes: classesOf(procDevices, major) };
}

/** As makedev(3) of the C library packs them. */
export const numbersOf = (rdev: number): [major: number, minor: number] => [
  Math.floor(rdev / 256) & 0xfff,
  (rdev & 0xff) | (Math.floor(rdev / 4096) & 0xfff_ff00),
];

/** Names of character devices in /proc/devices, which is what DeviceAllow=char-NAME is looked up in. */
export function classesOf(procDevices: string, major: number): string[] {
  const [, characters = ''] = /^Character devices:\n([^]*?)(?:\n\n|$)/m.exec(procDevices) ?? [];
  return characters.split('\n').flatMap((line) => {
    const [, number, name = ''] = /^\s*(\d+) (\S+)/.exec(line) ?? [];
    return Number(number) === major ? [name] : [];
  });
}
