import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEvents } from '@paddock/agent/report/event-file.ts';
import { parseState } from '@paddock/agent/identity/state-file.ts';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import { agent } from '../harness/agent/cli.ts';

export const DEVICE = 'kiosk-chaos';

const configuration = (url: string, port: string): string => `
device: ${DEVICE}
dataDir: ./state
cloud:
  url: ${url}
  keys: cloud-keys.json
report:
  schedule: '*/2 * * * * *'
  jitterSeconds: 0
  urgentMinIntervalMs: 200
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

/** A home for the agent, with its key. @returns the public part, to be registered */
export async function makeHome(home: string, brokerUrl: string, port: string): Promise<VerificationKey> {
  const { code, out, err } = await agent(home, 'init', '--device', DEVICE, '--url', brokerUrl, '--json');
  if (code !== 0) throw new Error(`paddock-agent init failed: ${out}${err}`);
  await writeFile(join(home, 'agent.yaml'), configuration(brokerUrl, port));
  const { publicKey } = JSON.parse(out) as { publicKey: VerificationKey['jwk'] };
  return importVerificationKey(publicKey);
}

/** A report's place, as `incarnation/start/sequence`. */
export const placeOf = (report: { incarnation: string; start: number; sequence: number }): string =>
  `${report.incarnation}/${report.start}/${report.sequence}`;

/** What the agent says of itself on its disk. */
export async function ownRecord(home: string) {
  const state = await parseState(readFileSync(join(home, 'state/state.json')));
  if (typeof state === 'string') throw new Error(`The agent's state file is ${state}`);
  const events = await parseEvents(readFileSync(join(home, 'state/events.jsonl')));
  return { ...state, uncovered: events.reports.map(placeOf), damaged: events.damaged };
}

/** Places of the events that the agent said were on the disk. */
export function acceptedEvents(logs: readonly string[], incarnation: string): string[] {
  return linesWith<{ start: number; sequence: number }>(logs, '"event_kept"').map(({ start, sequence }) =>
    placeOf({ incarnation, start, sequence }),
  );
}

/** The starts that the agent told of, in their order; one that is killed at once may tell of none. */
export const toldStarts = (logs: readonly string[]): number[] =>
  linesWith<{ start: number }>(logs, '"The agent starts"').map(({ start }) => start);

/** A line that the kill cut short says nothing. */
const linesWith = <T>(logs: readonly string[], text: string): T[] =>
  logs
    .flatMap((log) => readFileSync(log, 'utf8').split('\n'))
    .filter((line) => line.includes(text) && line.endsWith('}'))
    .map((line) => JSON.parse(line) as T);
