import { setTimeout as sleep } from 'node:timers/promises';
import type { Api } from './api.ts';
import { presenceLine, stateLine, updateLine } from './show.ts';
import type { ShownDevice, ShownPresence, ShownUpdate } from './show.ts';

const AGAIN_AFTER_MS = 1000;

/** What of it gets a line of its own. */
export type Interest = (deviceId: string) => boolean;

/** Shows live what the cloud tells, until the signal aborts. A stream that breaks is taken up where it broke. */
export async function watch(
  api: Api,
  signal: AbortSignal,
  interest: Interest,
  print: (line: string) => void,
): Promise<void> {
  const known = new Map<string, ShownDevice>();
  const show = (line: string | null): void => {
    if (line !== null) print(line);
  };
  let last: string | null = null;
  while (!signal.aborted) {
    try {
      for await (const { id, event, data } of api.events(last, signal)) {
        last = id ?? last;
        const told: unknown = JSON.parse(data);
        if (event === 'state' && interest((told as ShownDevice).deviceId)) {
          const device = told as ShownDevice;
          show(stateLine(device, known.get(device.deviceId)));
          known.set(device.deviceId, device);
        }
        if (event === 'presence' && interest((told as ShownPresence).deviceId))
          show(presenceLine(told as ShownPresence));
        if (event === 'assignment-device' && interest((told as ShownUpdate).deviceId))
          show(updateLine(told as ShownUpdate, new Date().toISOString()));
      }
    } catch {
      // The service is restarting, or stopping: then the signal says so soon.
    }
    await sleep(AGAIN_AFTER_MS, undefined, { signal }).catch(() => {});
  }
}
