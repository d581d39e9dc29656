import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KeySet } from '@paddock/shared/keys.ts';
import { agent } from './cli.ts';

/** A kiosk with a door and a card reader on one serial port, which reports often. */
export interface CardKiosk {
  readonly device: string;
  readonly brokerUrl: string;
  /** The path of its serial port. */
  readonly port: string;
}

/** Few routine reports in memory: in every longer outage some reach the disk. */
const configuration = ({ device, brokerUrl, port }: CardKiosk): string => `
device: ${device}
dataDir: ./state
cloud:
  url: ${brokerUrl}
  keys: cloud-keys.json
report:
  schedule: '*/2 * * * * *'
  jitterSeconds: 0
  urgentMinIntervalMs: 200
outbox:
  routineReports: 4
log:
  level: debug
ports:
  panel:
    kind: serial-lines
    path: ${port}
    baudRate: 9600
    format: json
sensors:
  door:
    kind: binary
    source: { port: panel, field: door, on: open }
    urgent: true
events:
  card-swipe:
    source: { port: panel, field: event, equals: card-swipe }
`;

/** Makes its configuration and its key in a directory. @returns the public key, to be registered */
export async function makeCardKiosk(home: string, kiosk: CardKiosk): Promise<KeySet['keys'][number]> {
  const { code, out, err } = await agent(home, 'init', '--device', kiosk.device, '--url', kiosk.brokerUrl, '--json');
  if (code !== 0) throw new Error(`paddock-agent init failed: ${out}${err}`);
  await writeFile(join(home, 'agent.yaml'), configuration(kiosk));
  return (JSON.parse(out) as { publicKey: KeySet['keys'][number] }).publicKey;
}

/** Pins the cloud's keys, as an operator does after registration. */
export const pinCloudKeys = (home: string, keys: KeySet): Promise<void> =>
  writeFile(join(home, 'cloud-keys.json'), JSON.stringify(keys));
