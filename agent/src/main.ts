import { randomBase64url } from '@paddock/shared/base64url.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import type { Presence } from '@paddock/shared/presence.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import manifest from '../package.json' with { type: 'json' };
import { readCloudKeys } from './adapters/cloud-keys.ts';
import { cronScheduler, longestGapMs } from './adapters/cron.ts';
import { explainDataDir, lockDataDir } from './adapters/data-dir-lock.ts';
import { deflater, inflater } from './adapters/deflate.ts';
import { openDisk } from './adapters/disk.ts';
import { createMachine } from './adapters/machine.ts';
import { createMqttLink, type MqttLinkOptions } from './adapters/mqtt.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import { createWallClock } from './adapters/system-clock-set.ts';
import { BUILT_AT } from './built-at.ts';
import type { AgentConfig } from './config.ts';
import { startIdentityKey } from './identity-key.ts';
import { beginStart, type BegunStart } from './identity/identity.ts';
import type { LinkOptions, Signer } from './ports.ts';
import type { Log } from './report/log.ts';
import { startSession } from './report/session.ts';
import { openTimekeeper } from './report/timekeeper.ts';
import { createSensing } from './sensing.ts';

export const AGENT_VERSION = manifest.version;
const MS_PER_DAY = 86_400_000;

export interface RunningAgent {
  /** Reports the shutdown, closes the connection and every port, and lets go of the data directory. */
  stop(): Promise<void>;
}

/**
 * Runs the agent until it is stopped.
 * @throws errors with a `code` for everything that keeps it from starting: CronError, CloudKeysError, KeyFileError, TokenError, DataDirError
 */
export async function runAgent(config: AgentConfig, log: Log): Promise<RunningAgent> {
  const scheduleGapMs = longestGapMs(config.report.schedule);
  const cloudKeys = await readCloudKeys(config.cloud.keys);
  const release = lockDataDir(config.dataDir);
  try {
    return await runLocked(config, { log, scheduleGapMs, cloudKeys, release });
  } catch (cause) {
    release();
    throw explainDataDir(config.dataDir, cause);
  }
}

interface Prepared {
  readonly log: Log;
  readonly scheduleGapMs: number;
  readonly cloudKeys: Awaited<ReturnType<typeof readCloudKeys>>;
  readonly release: () => void;
}

async function runLocked(
  config: AgentConfig,
  { log, scheduleGapMs, cloudKeys, release }: Prepared,
): Promise<RunningAgent> {
  const clock = createSystemClock();
  const { signer, close: closeKey } = await startIdentityKey(config, clock, log);
  const disk = await openDisk(config.dataDir);
  const start = await beginStart(disk);
  tellStart(start, log);
  const machine = createMachine(config.dataDir);
  const { setSystemClock, stepOverMs } = config.clock;
  const time = await openTimekeeper(
    { clock, disk, log, wallClock: setSystemClock ? createWallClock() : null },
    { ...start, bootId: await machine.bootId(), builtAt: BUILT_AT, stepOverMs },
  );
  const session = await startSession(
    {
      clock,
      disk,
      signer,
      log,
      time,
      machine,
      deflater,
      inflater,
      scheduler: cronScheduler,
      link: createMqttLink(linkOptions(config, signer), clock),
      sensors: createSensing(config, clock),
    },
    {
      device: config.device,
      incarnation: start.incarnation,
      start: start.start,
      agentVersion: AGENT_VERSION,
      cloudKeys,
      schedule: config.report.schedule,
      scheduleGapMs,
      jitterMs: config.report.jitterSeconds * 1000,
      urgentMinIntervalMs: config.report.urgentMinIntervalMs,
      outbox: { ...config.outbox, maxAgeMs: config.outbox.maxAgeDays * MS_PER_DAY },
    },
  );
  return { stop: () => session.stop().finally(closeKey).finally(release) };
}

/** Who connects, what it hears, and what the broker says of it when the connection breaks. */
export const linkOptions = ({ device, cloud }: AgentConfig, signer: Signer): MqttLinkOptions => ({
  url: cloud.url,
  keepAliveSeconds: cloud.keepAliveSeconds,
  clientId: device,
  subscriptions: [topicOf('answer', device)],
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

const LOSSES = {
  missing: 'There was no state: this is the first start, or the state was lost',
  empty: 'The state file is empty: the identity was lost',
  foreign: 'The state file is none of ours: the identity was lost',
  damaged: 'The state file is damaged: the identity was lost',
} as const satisfies Record<NonNullable<BegunStart['loss']>, string>;

function tellStart({ incarnation, start, loss }: BegunStart, log: Log): void {
  const told = loss === 'missing' ? 'info' : 'warn';
  if (loss !== null) log[told]({ code: `state_${loss}`, incarnation }, `${LOSSES[loss]}; a new incarnation begins`);
  log.info({ version: AGENT_VERSION, incarnation, start }, 'The agent starts');
}
