import { diskReader } from '@paddock/agent/adapters/disk.ts';
import { readRecord } from '@paddock/agent/enrol/record.ts';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFactory } from './claim.ts';
import type { Api } from './api.ts';
import type { Hardware } from './hardware/simulate.ts';

/** The folder of the kiosk; its device id comes from the cloud. */
export const KIOSK = 'kiosk-0001';
const SERIAL_NUMBER = 'DEMO-CP22-0001';
const LOOK_EVERY_MS = 100;
const MODEL = { modelId: 'demo-cp22', manufacturer: 'Paddock', family: 'Charge points', name: 'CP-22 (simulated)' };

/**
 * The agent's configuration. Ports are reached by links with names of their own, because pseudo-terminals get
 * another number at every start; on a kiosk these are the names of udev under /dev/serial.
 */
export function kioskConfiguration(values: Readonly<Record<'panel' | 'meter', string>>): string {
  const template = readFileSync(join(import.meta.dirname, 'kiosk.agent.yaml'), 'utf8');
  return Object.entries(values).reduce((text, [name, value]) => text.replace(`$${name}`, () => value), template);
}

/**
 * Makes the demonstration kiosk ready: its folder and configuration, and the claim that its agent enrols with. A second
 * start finds the claim.
 * @returns the path of agent.yaml
 */
export async function prepareKiosk(folder: string, hardware: Hardware, api: Api): Promise<string> {
  await mkdir(join(folder, 'state'), { recursive: true, mode: 0o700 });
  const [panel, meter] = [join(folder, 'panel'), join(folder, 'meter')];
  await relink(hardware.panelPath, panel);
  await relink(hardware.meterPath, meter);
  const config = join(folder, 'agent.yaml');
  await writeFile(config, kioskConfiguration({ panel, meter }));
  await api.ensure('/models', MODEL);
  const claim = join(folder, 'claim.jwt');
  if (!existsSync(claim)) {
    const factory = await openFactory(api, MODEL.modelId, 1);
    await writeFile(claim, await factory.claim(SERIAL_NUMBER), { mode: 0o600 });
  }
  return config;
}

/** The id that the cloud gave to the kiosk; resolves when it is enrolled. */
export async function enrolledKiosk(folder: string, signal: AbortSignal): Promise<string> {
  const disk = diskReader(join(folder, 'state'));
  for (;;) {
    signal.throwIfAborted();
    const device = (await readRecord(disk))?.member?.device;
    if (device !== undefined) return device;
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

async function relink(target: string, link: string): Promise<void> {
  await rm(link, { force: true });
  await symlink(target, link);
}
