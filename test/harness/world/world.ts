import { CloudClock } from './cloud-clock.ts';
import { Device } from './device.ts';
import { TimeQueue } from './time-queue.ts';
import type { WorldLine } from './trace.ts';
import { WORLDS, type WorldName } from './worlds.ts';

export interface WorldSize {
  readonly seed: number;
  readonly devices: number;
  /** The world ends when so many reports have reached the cloud, repeats included. */
  readonly reports: number;
}

/** The same lines for the same seed, in order of arrival at the cloud. Holds one line a device, however long it runs. */
export function* worldLines(name: WorldName, { seed, devices, reports }: WorldSize): Generator<WorldLine, void> {
  const spec = WORLDS[name];
  const cloud = new CloudClock(seed, spec.cloud);
  const next = new TimeQueue<{ device: Device; line: WorldLine }>();
  const put = (device: Device): void => {
    const line = device.next();
    next.push(line.arrivedAt, { device, line });
  };
  for (let index = 0; index < devices; index++) put(new Device(index, seed, spec, cloud));
  for (let left = reports; left > 0;) {
    const first = next.pop();
    if (first === null) return;
    yield first.item.line;
    if (first.item.line.line.kind === 'report') left -= 1;
    put(first.item.device);
  }
}
