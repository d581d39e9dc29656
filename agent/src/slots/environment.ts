/** Where programs of a machine are. */
const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What the programs of a slot get of the environment of who starts them: the screen, the language, the user. */
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

/** Where programs may write, unless the launcher is told another place: in the directory of the slots. */
export const APP_DIRECTORY = 'data';

export interface SlotPlace {
  /** Where the programs of slots may write. */
  readonly appDirectory: string;
  /** Where the node is that they run with. */
  readonly nodeDirectory: string;
}

/**
 * The environment of everything that runs from a slot, its program, hooks and probe: these and no others, so that a
 * kiosk does not depend on who started its launcher or its agent, and no secret of theirs gets there.
 */
export function slotEnvironment(
  { appDirectory, nodeDirectory }: SlotPlace,
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const passedOn = PASSED_ON.flatMap((name) => (own[name] === undefined ? [] : [[name, own[name]] as const]));
  return { ...Object.fromEntries(passedOn), PATH: `${nodeDirectory}:${SYSTEM_PATH}`, PADDOCK_APP_DIR: appDirectory };
}
