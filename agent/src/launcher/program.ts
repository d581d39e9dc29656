import { MAX_MANIFEST_BYTES, parseManifest } from '@paddock/shared/manifest.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import type { TreeCalls } from '../ports-firmware.ts';
import { readWhole } from '../slots/record-file.ts';
import { manifestOf } from '../slots/whole.ts';

/** Where programs of a machine are. */
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a program of a slot gets of the launcher's own environment: its screen, its language, its user. */
export const PASSED_ON = [
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'LC_ALL',
  'TZ',
  'DISPLAY',
  'XAUTHORITY',
  'WAYLAND_DISPLAY',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
] as const;

/** By this one every process of a launcher is known, whatever group it has gone to. Holds the directory of the slots. */
export const MARK = 'PADDOCK_LAUNCHER';

export interface Place {
  /** Of the slots. */
  readonly directory: string;
  /** Where the program may write. */
  readonly appDirectory: string;
  /** Where the launcher's own node is. */
  readonly nodeDirectory: string;
}

/** The environment of a program: these and no others, so that a kiosk does not depend on who started its launcher. */
export function environmentOf(
  { directory, appDirectory, nodeDirectory }: Place,
  slot: Slot,
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const passedOn = PASSED_ON.flatMap((name) => (own[name] === undefined ? [] : [[name, own[name]] as const]));
  return {
    ...Object.fromEntries(passedOn),
    PATH: `${nodeDirectory}:${SYSTEM_PATH}`,
    PADDOCK_SLOT: slot,
    PADDOCK_APP_DIR: appDirectory,
    [MARK]: directory,
  };
}

/**
 * What a slot runs; null for a bundle of data. What comes first is a file of the slot, or else the name of a program of
 * the machine.
 */
export function commandOf(calls: TreeCalls, slot: Slot): readonly string[] | null {
  const manifest = readWhole(calls, manifestOf(slot), MAX_MANIFEST_BYTES);
  const command = manifest && parseManifest(manifest).run?.command;
  if (!command) return null;
  const [first = '', ...rest] = command;
  return isInSlot(calls, slot, first) ? [`./${first}`, ...rest] : command;
}

const isInSlot = (calls: TreeCalls, slot: Slot, path: string): boolean =>
  !path.startsWith('/') && calls.look(`${slot}/${path}`) !== null;
