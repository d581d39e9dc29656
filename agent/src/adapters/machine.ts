import { readdir, readFile, statfs } from 'node:fs/promises';
import { freemem, loadavg, totalmem } from 'node:os';
import type { Host } from '@paddock/shared/report.ts';
import type { Machine } from '../ports.ts';

const THERMAL = '/sys/class/thermal';
const MIB = 1_048_576;

/** What Linux tells of the machine through /proc and /sys; what it does not tell is left out. */
export function createMachine(dataDir: string): Machine {
  let before: ProcessorTimes | null = null;
  return {
    bootId: async () => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim(),
    health: async () => {
      const [times, disk, temperatureC] = await Promise.all([processorTimes(), diskOf(dataDir), temperature()]);
      const processorShare = times && before ? shareBetween(before, times) : undefined;
      before = times;
      return defined({ processorShare, load1: loadavg()[0], ...memory(), ...disk, temperatureC });
    },
  };
}

interface ProcessorTimes {
  readonly busy: number;
  readonly total: number;
}

/** The first line of /proc/stat (proc_stat(5)): user nice system idle iowait irq softirq steal, in ticks of all processors. */
async function processorTimes(): Promise<ProcessorTimes | null> {
  const [line = ''] = (await readOrNull('/proc/stat'))?.split('\n') ?? [];
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  if (ticks.length < 8 || ticks.some(Number.isNaN)) return null;
  const total = ticks.reduce((sum, tick) => sum + tick, 0);
  const [, , , idle = 0, iowait = 0] = ticks;
  return { busy: total - idle - iowait, total };
}

/** The kernel's iowait may run backwards, so the share is kept within its bounds. */
export function shareBetween(before: ProcessorTimes, now: ProcessorTimes): number | undefined {
  const total = now.total - before.total;
  if (total <= 0) return undefined;
  const share = (now.busy - before.busy) / total;
  return Math.round(Math.min(1, Math.max(0, share)) * 1000) / 1000;
}

/** `freemem` is the kernel's MemAvailable, which counts what the page cache would give back. */
function memory(): Host {
  return {
    memoryTotalMiB: Math.round(totalmem() / MIB),
    memoryAvailableMiB: Math.round(freemem() / MIB),
    agentRssMiB: Math.round(process.memoryUsage.rss() / MIB),
  };
}

async function diskOf(dir: string): Promise<Host> {
  const stat = await statfs(dir).catch(() => null);
  if (stat === null) return {};
  const mib = (blocks: number): number => Math.round((blocks * stat.bsize) / MIB);
  return { diskTotalMiB: mib(stat.blocks), diskFreeMiB: mib(stat.bavail) };
}

/** The hottest zone: what throttles and breaks a machine is its hottest part. */
async function temperature(): Promise<number | undefined> {
  const zones = (await readdir(THERMAL).catch(() => [])).filter((name) => name.startsWith('thermal_zone'));
  const texts = await Promise.all(zones.map((zone) => readOrNull(`${THERMAL}/${zone}/temp`)));
  const milliCelsius = texts.flatMap((text) => (text === null ? [] : [Number(text)])).filter(Number.isFinite);
  return milliCelsius.length === 0 ? undefined : Math.round(Math.max(...milliCelsius) / 100) / 10;
}

const readOrNull = (path: string): Promise<string | null> => readFile(path, 'utf8').catch(() => null);

const defined = (host: { [Key in keyof Host]: Host[Key] | undefined }): Host =>
  Object.fromEntries(Object.entries(host).filter(([, value]) => value !== undefined));
