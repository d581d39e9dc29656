import { access, constants, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { getHeapStatistics } from 'node:v8';
import { MAX_TROUBLES, type Trouble, type TroubleCode } from '@paddock/shared/began.ts';
import type { Vitals } from '../ports-past.ts';

const MIB = 1_048_576;
/** Where a zone names no trip point of its own: what most boards throttle at, in thousandths of a degree. */
const HOT_AT = 85_000;
/** Before a trip point, in thousandths of a degree. */
const NEAR = 3_000;
/** Share of a minute in which some program waited for memory, in percent (Documentation/accounting/psi.rst). */
const PRESSURE_PERCENT = 20;

interface Found {
  readonly part?: string;
  readonly count?: number;
}
type Look = (root: string, dataDir: string) => Promise<readonly Found[]>;

/** Where each trouble shows. */
const LOOKS = {
  disk_errors: async (root) =>
    counted(await children(join(root, 'sys/fs/ext4')), (part) => join(root, 'sys/fs/ext4', part, 'errors_count')),
  disk_read_only: async (_root, dataDir) =>
    (await access(dataDir, constants.W_OK).then(
      () => false,
      (cause: NodeJS.ErrnoException) => cause.code === 'EROFS',
    ))
      ? [{}]
      : [],
  temperature_high: async (root) => {
    const zones = (await children(join(root, 'sys/class/thermal'))).filter((name) => name.startsWith('thermal_zone'));
    const hot = await Promise.all(zones.map((zone) => isHot(join(root, 'sys/class/thermal', zone))));
    return zones.filter((_zone, at) => hot[at]).map((part) => ({ part }));
  },
  // The firmware of a Raspberry Pi, through the driver raspberrypi-hwmon; other supplies with an alarm do the same.
  undervoltage: async (root) => {
    const chips = await children(join(root, 'sys/class/hwmon'));
    const alarms = await Promise.all(
      chips.map((chip) => numberIn(join(root, 'sys/class/hwmon', chip, 'in0_lcrit_alarm'))),
    );
    return chips.filter((_chip, at) => alarms[at] === 1).map((part) => ({ part }));
  },
  memory_pressure: async (root) => {
    const some = /^some .*avg60=(\d+(?:\.\d+)?)/m.exec((await textOf(join(root, 'proc/pressure/memory'))) ?? '');
    return Number(some?.[1] ?? 0) >= PRESSURE_PERCENT ? [{}] : [];
  },
  memory_kills: async (root) => {
    const count = Number(/^oom_kill (\d+)$/m.exec((await textOf(join(root, 'proc/vmstat'))) ?? '')?.[1] ?? 0);
    return count > 0 ? [{ count }] : [];
  },
} as const satisfies Record<Exclude<TroubleCode, 'disk_failing'>, Look>;

/** @param root what stands for the root of the file system, in tests */
export function createVitals(dataDir: string, root = '/'): Vitals {
  return {
    memory() {
      const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
      const mib = (bytes: number): number => Math.round(bytes / MIB);
      return { rssMiB: mib(process.memoryUsage.rss()), heapMiB: mib(used), heapLimitMiB: mib(limit) };
    },
    async troubles() {
      const looks: readonly (readonly [string, Look])[] = Object.entries(LOOKS);
      const found = await Promise.all(
        looks.map(async ([code, look]) =>
          (await look(root, dataDir).catch(() => [])).map((one): Trouble => ({ code, ...one })),
        ),
      );
      return found.flat().slice(0, MAX_TROUBLES - 1);
    },
  };
}

async function counted(parts: readonly string[], pathOf: (part: string) => string): Promise<Found[]> {
  const counts = await Promise.all(parts.map((part) => numberIn(pathOf(part))));
  return parts.flatMap((part, at) => {
    const count = counts[at] ?? 0;
    return count > 0 ? [{ part, count }] : [];
  });
}

/** At what the zone itself calls hot or critical, or nearly so. */
async function isHot(zone: string): Promise<boolean> {
  const now = await numberIn(join(zone, 'temp'));
  if (now === null) return false;
  const trips = (await children(zone)).filter((name) => /^trip_point_\d+_type$/.test(name));
  const kinds = await Promise.all(trips.map((trip) => textOf(join(zone, trip))));
  const severe = trips.filter((_trip, at) => ['hot', 'critical'].includes(kinds[at]?.trim() ?? ''));
  const temperatures = await Promise.all(severe.map((trip) => numberIn(join(zone, trip.replace('type', 'temp')))));
  const points = temperatures.filter((point) => point !== null && point > 0).map(Number);
  return now >= (points.length > 0 ? Math.min(...points) - NEAR : HOT_AT);
}

const children = (dir: string): Promise<string[]> => readdir(dir).catch(() => []);
const textOf = (path: string): Promise<string | null> => readFile(path, 'utf8').catch(() => null);

async function numberIn(path: string): Promise<number | null> {
  const text = (await textOf(path))?.trim() ?? '';
  return /^-?\d+$/.test(text) ? Number(text) : null;
}
