import { randomBase64url } from '@paddock/shared/base64url.ts';
import type { LogLevel } from '@paddock/shared/desired.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import type { Presence } from '@paddock/shared/presence.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { cronScheduler, longestGapMs } from './adapters/cron.ts';
import { deflater, inflater } from './adapters/deflate.ts';
import { lookInProcess } from './adapters/machine-facts-process.ts';
import { createMqttLink, type MqttLinkOptions } from './adapters/mqtt.ts';
import type { Outputs } from './act/outputs.ts';
import { beginActing, type Acting } from './acting.ts';
import type { AgentConfig } from './config.ts';
import { agentSettings, NO_FIRMWARE } from './desired/agent-settings.ts';
import { keepDesired, type DesiredKeeper } from './desired/keeper.ts';
import type { Pin } from './enrol/pin.ts';
import type { BegunStart } from './identity/identity.ts';
import { keepInventory, type InventoryKeeper } from './inventory/keeper.ts';
import type { Local } from './local-interface.ts';
import type { OwnRelease } from './own-release.ts';
import type { Clock, Disk, Link, LinkOptions, Machine, Signer } from './ports.ts';
import type { Log } from './report/log.ts';
import { createPace, type Pace } from './report/pace.ts';
import type { SessionOptions } from './report/parts.ts';
import { startSession, type Session } from './report/session.ts';
import type { Timekeeper } from './report/timekeeper.ts';
import { nextWithinMs } from './report/triggers.ts';
import type { PortState } from './sense/sensors.ts';
import type { Remembering } from './remembering.ts';
import type { Sensing } from './sensing.ts';
import type { Updating, UpdatingParts } from './updating.ts';
import type { PolledPort, PortTold, Pulse } from './watchdog/pulse.ts';

const MS_PER_DAY = 86_400_000;

/** What one start of the agent is made of. */
export interface Own {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly signer: Signer;
  readonly machine: Machine;
  readonly time: Timekeeper;
  readonly log: Log;
  readonly sensing: Sensing;
  readonly outputs: Outputs;
  readonly start: BegunStart;
  readonly scheduleGapMs: number;
  readonly agentVersion: string;
  /** What is known of the starts before. */
  readonly past: Pick<Remembering, 'speak' | 'expects'>;
  /** Whether it is the agent of the release that runs; null: nobody asks. */
  readonly ownRelease: OwnRelease | null;
  /** Counts what gets done. */
  readonly pulse: Pulse;
  /** The file that this program was started from. */
  readonly program: string;
  /** Sets how much is logged; null: as it is configured. */
  readonly setLogLevel: (level: LogLevel | null) => void;
}

/** As whom the device speaks, to whom, and whom it believes. */
export interface Speaking
  extends Connecting, Pick<SessionOptions, 'cloudKeys' | 'leastEpoch' | 'keyUnknown' | 'keyListSeen'> {
  readonly watch?: (link: Link) => Link;
  /** Missing for a device that was registered by hand. */
  readonly enrolled?: Pick<UpdatingParts, 'standing'> & { readonly pin: Pin };
}

/** It has no certificate, and nobody's repository. */
const BY_HAND = { pin: null, standing: () => null } as const;

/** Starts to read, to report and to connect. */
export async function beginSession(config: AgentConfig, own: Own, speaking: Speaking): Promise<Session> {
  const { clock, disk, signer, log, time, machine, start, agentVersion, pulse } = own;
  const { device, cloudKeys, leastEpoch, keyUnknown, keyListSeen, watch = (link) => link } = speaking;
  const link = pulse.link(watch(createMqttLink(linkOptions(speaking, signer), clock)));
  const local = await beginLocal(config, own, device);
  const { sensing } = own;
  const acting = beginActing(config, own.outputs, clock, log);
  const told = acting.withOutputs(sensing);
  const sensors = local?.withApplications(told) ?? told;
  const inventory = await beginInventory(device, own, link);
  const past = own.past.speak(device, link, signer);
  const jitterMs = config.report.jitterSeconds * 1000;
  const pace = createPace({ cron: config.report.schedule, gapMs: own.scheduleGapMs });
  const updating = await beginUpdating(config, own, speaking, {
    readings: () => sensing.readings(),
    ...(local && { applicationFault: (since) => local.applicationFault(since) }),
  });
  const desired = await beginDesired(own, speaking, { pace, updating, acting });
  const made = {
    sensors,
    inventory,
    desired,
    past,
    outputs: acting.key,
    ...(updating && { firmware: updating }),
    ...(local && { local }),
  };
  const session = await startSession(
    { clock, disk, signer, log, time, machine, deflater, inflater, scheduler: cronScheduler, link, ...made },
    {
      device,
      incarnation: start.incarnation,
      start: start.start,
      agentVersion,
      cloudKeys,
      ...(leastEpoch && { leastEpoch }),
      ...(keyUnknown && { keyUnknown }),
      ...(keyListSeen && { keyListSeen }),
      pace,
      jitterMs,
      urgentMinIntervalMs: config.report.urgentMinIntervalMs,
      outbox: { ...config.outbox, maxAgeMs: config.outbox.maxAgeDays * MS_PER_DAY },
    },
  );
  local?.begin({ session, sensors, desired, firmware: updating });
  pulse.reporting(
    () => session.tried(),
    () => nextWithinMs(pace.now().gapMs, jitterMs),
  );
  pulse.sensing(polledPorts(config), () => sensing.ports().map(toldBy));
  return {
    ...session,
    async stop() {
      // The interface first, so that nobody is promised anything any more.
      const ended = local?.stop();
      void acting.end();
      await Promise.all([ended, updating?.stop(), inventory.stop(), desired.stop(), past.stop(), session.stop()]);
    },
  };
}

/** Others wait for what somebody sends, or for a line to change, and may do so for days. */
const polledPorts = ({ ports }: AgentConfig): PolledPort[] =>
  Object.entries(ports).flatMap(([name, port]) =>
    port.kind === 'modbus-rtu' || port.kind === 'simulated' ? [{ name, pollMs: port.pollMs }] : [],
  );

const toldBy = ({ name, state, samples, faults }: PortState): PortTold => ({
  name,
  state,
  told: Object.values(faults).reduce((sum, count) => sum + count, samples),
});

/** Null where the kiosk's own software has no interface: then nothing of it is loaded either. */
async function beginLocal({ local, dataDir }: AgentConfig, own: Own, device: string): Promise<Local | null> {
  if (local === undefined) return null;
  const { openLocal } = await import('./local-interface.ts');
  return openLocal(local, { ...own, device, dataDir, bootId: await own.machine.bootId() });
}

const beginInventory = async (
  device: string,
  { clock, signer, log, machine, start: { incarnation, start }, program }: Own,
  link: Link,
): Promise<InventoryKeeper> =>
  keepInventory(
    { clock, signer, deflater, link, log, machine: lookInProcess(program), random: Math.random },
    { device, incarnation, start, bootId: await machine.bootId() },
  );

/** Null where nothing is installed: then nothing of it is loaded either. */
async function beginUpdating(
  { firmware }: AgentConfig,
  own: Own,
  { enrolled }: Speaking,
  observed: Pick<UpdatingParts, 'readings' | 'applicationFault'>,
): Promise<Updating | null> {
  if (firmware === undefined) return null;
  const updating = await import('./updating.ts');
  return updating.beginUpdating(firmware, {
    ...own,
    ...(enrolled ?? BY_HAND),
    bootId: await own.machine.bootId(),
    expectsEnd: (word) => own.past.expects(word),
    ...observed,
  });
}

/** What was taken up before is applied when this resolves. */
const beginDesired = (
  { clock, disk, log, time, start: { incarnation }, setLogLevel }: Own,
  { device, cloudKeys, leastEpoch, keyUnknown, keyListSeen }: Speaking,
  { pace, updating, acting }: { pace: Pace; updating: Updating | null; acting: Acting },
): Promise<DesiredKeeper> => {
  const firmware = updating?.handler ?? NO_FIRMWARE;
  const agent = agentSettings({ setSchedule: (schedule) => pace.set(schedule), setLogLevel, gapMs: longestGapMs });
  return keepDesired(
    { clock, disk, log, inflater, time, handlers: { agent, firmware, outputs: acting.key } },
    {
      device,
      incarnation,
      keys: cloudKeys,
      epoch: () => leastEpoch?.() ?? null,
      // Of a greater epoch every version of the list is newer.
      listBehind: (epoch) => (epoch === null ? keyUnknown?.() : keyListSeen?.(1, epoch)),
    },
  );
};

/** As whom the device connects, and to whom. */
export interface Connecting extends Pick<MqttLinkOptions, 'url' | 'keepAliveSeconds' | 'dial'> {
  readonly device: string;
}

/** Who connects, what it hears, and what the broker says of it when the connection breaks. */
export const linkOptions = ({ device, url, keepAliveSeconds, dial }: Connecting, signer: Signer): MqttLinkOptions => ({
  url,
  keepAliveSeconds,
  ...(dial && { dial }),
  clientId: device,
  subscriptions: [topicOf('answer', device), topicOf('desired', device)],
  presence: presenceOf(device, signer),
});

/** The nonce ties the will to its connection: an old connection's will says nothing about a newer one. */
const presenceOf =
  (device: string, signer: Signer): LinkOptions['presence'] =>
  async () => {
    const topic = topicOf('presence', device);
    const connection = randomBase64url();
    const sealed = (status: Presence['status']): Promise<string> =>
      seal('presence', { v: PAYLOAD_VERSION, device, connection, status } satisfies Presence, signer);
    const [birth, will] = await Promise.all([sealed('online'), sealed('offline')]);
    return { birth: { topic, payload: birth }, will: { topic, payload: will } };
  };
