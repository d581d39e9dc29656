import { ensureKeyFile, readKeyFile } from '@paddock/agent/adapters/file-key.ts';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Api } from './api.ts';
import type { Hardware } from './hardware/simulate.ts';

export const KIOSK = 'kiosk-0001';
const SITE = { siteId: 'demo-yard', name: 'Demonstration yard', timeZone: 'Europe/Zurich' };
const MODEL = { modelId: 'demo-cp22', manufacturer: 'Paddock', family: 'Charge points', name: 'CP-22 (simulated)' };

/**
 * The agent's configuration. Ports are reached by links with names of their own, because pseudo-terminals get
 * another number at every start; on a kiosk these are the names of udev under /dev/serial.
 */
export function kioskConfiguration(values: Readonly<Record<'device' | 'broker' | 'panel' | 'meter', string>>): string {
  const template = readFileSync(join(import.meta.dirname, 'kiosk.agent.yaml'), 'utf8');
  return Object.entries(values).reduce((text, [name, value]) => text.replace(`$${name}`, () => value), template);
}

/**
 * Makes the demonstration kiosk ready: its folder, key, registration and the cloud's keys. A second start finds
 * all of it and only renews what may have changed.
 * @returns the path of agent.yaml
 */
export async function prepareKiosk(folder: string, mqttPort: number, hardware: Hardware, api: Api): Promise<string> {
  await mkdir(join(folder, 'state'), { recursive: true, mode: 0o700 });
  const [panel, meter] = [join(folder, 'panel'), join(folder, 'meter')];
  await relink(hardware.panelPath, panel);
  await relink(hardware.meterPath, meter);
  const config = join(folder, 'agent.yaml');
  const broker = `mqtt://127.0.0.1:${mqttPort}`;
  await writeFile(config, kioskConfiguration({ device: KIOSK, broker, panel, meter }));
  await register(folder, api);
  return config;
}

async function register(folder: string, api: Api): Promise<void> {
  const file = join(folder, 'state', 'identity.key.pem');
  const isNewKey = await ensureKeyFile(file);
  const { jwk } = (await readKeyFile(file)).public;
  await api.ensure('/sites', SITE);
  await api.ensure('/models', MODEL);
  const { siteId } = SITE;
  const { modelId } = MODEL;
  const name = 'Demonstration kiosk';
  const registered = await api.ensure('/devices', { deviceId: KIOSK, publicKey: jwk, name, siteId, modelId });
  if (!registered && isNewKey)
    throw new Error(
      `${KIOSK} is registered with another key than ${file}, which was made just now: the two lost each other`,
    );
  const pinned = join(folder, 'cloud-keys.json');
  if (registered || !existsSync(pinned)) await writeFile(pinned, JSON.stringify(await api.cloudKeys(), null, 2));
}

async function relink(target: string, link: string): Promise<void> {
  await rm(link, { force: true });
  await symlink(target, link);
}
