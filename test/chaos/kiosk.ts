import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OUTBOX_FILE, parseOutbox } from '@paddock/agent/report/outbox-file.ts';
import { parseState } from '@paddock/agent/identity/state-file.ts';
import { importVerificationKey, type KeySet, type VerificationKey } from '@paddock/shared/keys.ts';
import { makeCardKiosk, pinCloudKeys } from '../harness/agent/card-kiosk.ts';
import { plugInCardReader, type CardReader } from '../harness/agent/card-reader.ts';
import { startMqttRelay, type MqttRelay } from '../harness/mqtt-relay.ts';
import type { Target } from '../harness/tcp-relay.ts';
import { programOf, Supervised } from './supervised.ts';
import { tapDevice, type Tap } from './tap.ts';

const PROGRAM = join(import.meta.dirname, '../../agent/bin/paddock-agent.cjs');

/** Registers a device. @returns the cloud's keys, to be pinned */
export type Register = (deviceId: string, publicKey: KeySet['keys'][number]) => Promise<KeySet>;

/** One kiosk: simulated hardware on a real pseudo-terminal, the real agent, and its own way to the broker. */
export class Kiosk {
  readonly device: string;
  readonly home: string;
  readonly reader: CardReader;
  readonly agent: Supervised;
  readonly toBroker: MqttRelay;
  readonly tap: Tap;
  readonly key: VerificationKey;

  private constructor(parts: Pick<Kiosk, 'device' | 'home' | 'reader' | 'agent' | 'toBroker' | 'tap' | 'key'>) {
    this.device = parts.device;
    this.home = parts.home;
    this.reader = parts.reader;
    this.agent = parts.agent;
    this.toBroker = parts.toBroker;
    this.tap = parts.tap;
    this.key = parts.key;
  }

  /** Builds and registers it; its agent is not started. @param random draws what happens at its hardware */
  static async build(
    folder: string,
    device: string,
    places: { broker: () => Target | null; random: () => number; register: Register },
  ): Promise<Kiosk> {
    const home = join(folder, device);
    mkdirSync(home);
    const tap = tapDevice(device);
    const toBroker = await startMqttRelay(places.broker, { passed: (message) => tap.passed(message) });
    const reader = plugInCardReader(places.random);
    const publicKey = await makeCardKiosk(home, { device, brokerUrl: toBroker.url, port: reader.path });
    const cloudKeys = await places.register(device, publicKey);
    const [online] = cloudKeys.keys;
    if (online === undefined) throw new Error('The cloud has no online key');
    tap.verifyWith(await importVerificationKey(online));
    await pinCloudKeys(home, cloudKeys);
    const launch = programOf(device, PROGRAM, ['run', '--config', join(home, 'agent.yaml')], {});
    const agent = new Supervised((life) => launch(folder, life));
    const key = await importVerificationKey(publicKey);
    return new Kiosk({ device, home, reader, agent, toBroker, tap, key });
  }

  async close(withinMs: number): Promise<void> {
    this.reader.close();
    await this.agent.stop(withinMs);
    await this.toBroker.close();
  }
}

/** A report's place, as `incarnation/start/sequence`. */
export const placeOf = (report: { incarnation: string; start: number; sequence: number }): string =>
  `${report.incarnation}/${report.start}/${report.sequence}`;

/** What the agent says of itself on its disk. */
export async function ownRecord(home: string, device: string) {
  const state = await parseState(readFileSync(join(home, 'state/state.json')));
  if (typeof state === 'string') throw new Error(`The agent's state file is ${state}`);
  const file = join(home, 'state', OUTBOX_FILE);
  const outbox = parseOutbox(existsSync(file) ? readFileSync(file) : new Uint8Array(), device);
  const damaged = [...outbox.faults].reduce((sum, [, lines]) => sum + lines, 0);
  return { ...state, uncovered: outbox.reports.map(placeOf), damaged };
}

/** Places of what the agent said was on the disk: events, and the routine reports that nobody answered. */
export function keptReports(logs: readonly string[], incarnation: string): Record<'events' | 'routine', string[]> {
  const places = (start: number, sequences: readonly number[]): string[] =>
    sequences.map((sequence) => placeOf({ incarnation, start, sequence }));
  const events = linesWith<{ start: number; sequence: number }>(logs, '"event_kept"');
  const routine = linesWith<{ start: number; sequences: number[] }>(logs, '"routine_kept"');
  return {
    events: events.flatMap(({ start, sequence }) => places(start, [sequence])),
    routine: routine.flatMap(({ start, sequences }) => places(start, sequences)),
  };
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
