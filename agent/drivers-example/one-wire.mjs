/**
 * A plug-in driver (docs/drivers.md): thermometers on a 1-Wire bus, such as the DS18B20, by the kernel's driver w1_therm.
 * A channel is the id of a thermometer, such as 28-0316a2795fff; its value is in °C.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const contract = 1;

const DEFAULTS = { directory: '/sys/bus/w1/devices', everyMs: 5_000 };

/** What is wrong is thrown, in words for the operator. */
export function parse(options) {
  const unknown = Object.keys(options).filter((key) => !Object.hasOwn(DEFAULTS, key));
  if (unknown.length > 0) throw new Error(`${unknown.join(', ')} is none of ${Object.keys(DEFAULTS).join(', ')}`);
  const settings = { ...DEFAULTS, ...options };
  if (typeof settings.directory !== 'string') throw new Error('directory must be a path');
  if (!Number.isInteger(settings.everyMs) || settings.everyMs < 100) throw new Error('everyMs must be 100 or more');
  return settings;
}

export async function open({ directory, everyMs }, port) {
  const closing = new AbortController();
  const running = (async () => {
    while (!closing.signal.aborted) {
      // One after the other: a conversion takes most of a second, and the bus has one wire.
      for (const [sensor, id] of Object.entries(port.sensors))
        await read(join(directory, id, 'w1_slave'), sensor, port);
      await sleep(everyMs, undefined, { signal: closing.signal }).catch(() => {});
    }
  })();
  return {
    async close() {
      closing.abort();
      await running;
    },
  };
}

/** The kernel writes "... crc=4a YES" and "... t=21437". */
async function read(file, sensor, port) {
  try {
    const text = await readFile(file, 'latin1');
    const [, milliDegrees] = /\bt=(-?\d+)/.exec(text) ?? [];
    if (!text.includes('YES')) port.fault(sensor, 'checksum');
    else if (milliDegrees === undefined) port.fault(sensor, 'malformed');
    else port.sample(sensor, Number(milliDegrees) / 1000);
  } catch {
    port.fault(sensor, 'unplugged');
  }
}
