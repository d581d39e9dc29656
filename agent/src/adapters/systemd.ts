import { access, readdir, readFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { DeviceFacts, MachineCare, Overseen, Overseer, ServiceUser, UnitFacts } from '../ports-systemd.ts';
import type { Clock } from '../ports.ts';
import { createAsk, type Ask } from './systemd/ask.ts';
import { findDevices } from './systemd/devices.ts';
import { findJournal } from './systemd/journal.ts';
import { FACTS, parseShown, unitOf, wordsOf } from './systemd/units.ts';

const UNITS = ['paddock-agent.service', 'paddock-launcher.service'];
const CLOCK_KEEPERS = ['systemd-timesyncd', 'chrony', 'ntpsec', 'ntp', 'openntpd'].map((name) => `${name}.service`);

export interface OverseerOptions {
  /** What stands for the root of the file system, in tests. */
  readonly root?: string;
  /** Where programs are looked for. */
  readonly path?: string | undefined;
  /** How long a program may take to answer. */
  readonly withinMs?: number;
}

/** @param settings the settings of units that are asked for */
export function createOverseer(
  clock: Pick<Clock, 'sleep'>,
  settings: readonly string[],
  { root = '/', path, withinMs }: OverseerOptions = {},
): Overseer {
  const ask = createAsk(clock, path, withinMs);
  return {
    async look(named, wanted) {
      // sd_booted(3)
      if (!(await isThere(join(root, 'run/systemd/system')))) return null;
      const [[agent = null, launcher = null], procDevices, care] = await Promise.all([
        unitsBy(ask, settings),
        text(root, 'proc/devices'),
        careOf(ask, root),
      ]);
      const found = await findDevices(root, named, procDevices);
      const ofUnit = agent === null ? [] : groupsOf(agent);
      const [groups, names] = await groupsBy(ask, [...wanted, ...ofUnit, ...found.map(({ gid }) => `${gid}`)]);
      const devices = found.map((device): DeviceFacts => ({
        ...device,
        group: names.get(device.gid) ?? `${device.gid}`,
      }));
      const added = ofUnit.flatMap((group) => groups.get(group) ?? []);
      const user = agent && (await userBy(ask, agent, added));
      return { agent, launcher, user, self: selfOf(), devices, groups, care };
    },
  };
}

function selfOf(): Overseen['self'] {
  const uid = process.getuid?.() ?? 0;
  try {
    return { uid, name: userInfo().username };
  } catch {
    // One that the user database does not know.
    return { uid, name: `${uid}` };
  }
}

async function unitsBy(ask: Ask, settings: readonly string[]): Promise<UnitFacts[]> {
  const properties = [...new Set([...FACTS, ...settings])].join(',');
  const shown = await ask('systemctl', 'show', '--no-pager', `--property=${properties}`, ...UNITS);
  const nowUs = Number(process.hrtime.bigint() / 1000n);
  return parseShown(shown ?? '').map((unit) => unitOf(unit, nowUs));
}

const groupsOf = ({ settings }: UnitFacts): string[] => [
  ...wordsOf(settings['Group']),
  ...wordsOf(settings['SupplementaryGroups']),
];

/** @returns ids by what was asked for, and names by id */
async function groupsBy(ask: Ask, wanted: readonly string[]): Promise<[Map<string, number>, Map<number, string>]> {
  const [ids, names] = [new Map<string, number>(), new Map<number, string>()];
  const answer = wanted.length === 0 ? null : await ask('getent', 'group', ...new Set(wanted));
  for (const line of (answer ?? '').split('\n')) {
    const [, name, id] = /^([^:]+):[^:]*:(\d+):/.exec(line) ?? [];
    if (name === undefined || id === undefined) continue;
    names.set(Number(id), name);
    for (const each of [name, id]) ids.set(each, Number(id));
  }
  return [ids, names];
}

/** Groups of a service are those of its user, and what the unit adds (systemd.exec(5)). */
async function userBy(ask: Ask, { settings }: UnitFacts, added: readonly number[]): Promise<ServiceUser | null> {
  const name = settings['User'] || 'root';
  const [uid, gids] = await Promise.all([ask('id', '-u', name), ask('id', '-G', name)]);
  if (!/^\d+\s*$/.test(uid ?? '')) return null;
  return { name, uid: Number(uid), gids: [...new Set([...wordsOf(gids ?? '').map(Number), ...added])] };
}

async function careOf(ask: Ask, root: string): Promise<MachineCare> {
  const [manager, keepers, time, journal, backend, devices, state, clocks] = await Promise.all([
    ask('systemctl', 'show', '--no-pager', '--property=RuntimeWatchdogUSec'),
    ask('systemctl', 'show', '--no-pager', '--property=Id,ActiveState', ...CLOCK_KEEPERS),
    ask('timedatectl', 'show'),
    findJournal(root),
    text(root, 'sys/module/pstore/parameters/backend'),
    names(join(root, 'dev'), /^watchdog\d+$/),
    text(root, 'sys/class/watchdog/watchdog0/state'),
    names(join(root, 'sys/class/rtc'), /^rtc\d+$/),
  ]);
  const running = parseShown(keepers ?? '').filter(({ ActiveState }) => ActiveState === 'active');
  return {
    watchdog: {
      devices: devices.map((name) => `/dev/${name}`),
      isRunning: state.trim() === 'active',
      runtime: parseShown(manager ?? '')[0]?.['RuntimeWatchdogUSec'] ?? null,
    },
    clock: {
      keepers: [...new Set(running.map(({ Id = '' }) => Id.replace(/\.service$/, '')))],
      isSynchronised: parseShown(time ?? '')[0]?.['NTPSynchronized'] === 'yes',
      hasRtc: clocks.length > 0,
    },
    journal,
    pstore: /^[a-z][\w-]*$/.exec(backend.trim())?.[0] ?? null,
  };
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const text = (root: string, path: string): Promise<string> => readFile(join(root, path), 'utf8').catch(() => '');

const names = async (directory: string, pattern: RegExp): Promise<string[]> =>
  (await readdir(directory).catch(() => [])).filter((name) => pattern.test(name)).toSorted();
