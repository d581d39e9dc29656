import manifest from '../package.json' with { type: 'json' };
import { readCloudKeys } from './adapters/cloud-keys.ts';
import { longestGapMs } from './adapters/cron.ts';
import { DataDirError, explainDataDir, lockDataDir, lockSlots } from './adapters/data-dir-lock.ts';
import { openDisk } from './adapters/disk.ts';
import { createMachine } from './adapters/machine.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import { createWallClock } from './adapters/system-clock-set.ts';
import { machineGoesDown } from './adapters/systemd/going-down.ts';
import { BUILT_AT } from './built-at.ts';
import type { Outputs } from './act/outputs.ts';
import { holdOutputs } from './acting.ts';
import type { AgentConfig } from './config.ts';
import { directoryOf } from './config/firmware-settings.ts';
import type { EnrolmentParts } from './enrol/parts.ts';
import type { Pin } from './enrol/pin.ts';
import { speakingSigner } from './enrol/key-change.ts';
import { openIdentityKeys, startIdentityKey } from './identity-key.ts';
import { beginStart, type BegunStart } from './identity/identity.ts';
import { openJoining, readPin, speakingAs, type Joining } from './joining.ts';
import type { Clock, IdentityKeys } from './ports.ts';
import type { EndWord } from './past/runs.ts';
import { remember, type Remembering } from './remembering.ts';
import type { Log } from './report/log.ts';
import type { Session } from './report/session.ts';
import { openTimekeeper } from './report/timekeeper.ts';
import { createSensing, type Sensing } from './sensing.ts';
import { beginSession, type Own } from './speaking.ts';
import type { Vitals } from './watchdog/judge.ts';
import { createPulse } from './watchdog/pulse.ts';

export const AGENT_VERSION = manifest.version;
const ATTEMPT_ENDS_WITHIN_MS = 500;

export interface RunningAgent {
  /** Null before the device has enrolled. */
  device(): string | null;
  /** Whether the connection to the broker stands. */
  online(): boolean;
  /** What its parts get done. */
  vitals(): Vitals;
  /** Resolves when it ends by itself, because its cloud has retired the device; after that it has to be stopped. */
  readonly retired: Promise<void>;
  /**
   * Reports the shutdown, closes the connection and every port, and lets go of the data directory.
   * @param word why, for the next start; without one it was simply told to
   */
  stop(word?: EndWord): Promise<void>;
}

/** What is around the agent. */
export interface Surroundings {
  /** Says on the console what a person in front of the device has to know. */
  readonly say?: EnrolmentParts['say'];
  /** Sets how much is logged; null: as it is configured. */
  readonly setLogLevel?: Own['setLogLevel'];
  /** Lets somebody hear of an error that nobody caught, before the process ends by it. */
  readonly onBreak?: (hear: (error: unknown) => void) => void;
  /** Null: no other agent would run in this one's place. */
  readonly ownRelease?: Own['ownRelease'];
  /** Has something done, at once, when the process ends, whatever ends it but a kill. */
  readonly atExit?: (work: () => void) => void;
}

/**
 * Runs the agent until it is stopped. A device that is not enrolled yet goes on asking to be while this has resolved.
 * @param program the file that it was started from
 * @throws errors with a `code` for everything that keeps it from starting: CronError, CloudKeysError, KeyFileError, TokenError, DataDirError, EnrolError
 */
export async function runAgent(
  config: AgentConfig,
  log: Log,
  program: string,
  {
    say = () => {},
    setLogLevel = () => {},
    onBreak = () => {},
    ownRelease = null,
    atExit = () => {},
  }: Surroundings = {},
): Promise<RunningAgent> {
  const scheduleGapMs = longestGapMs(config.report.schedule);
  const pin = await readPin(config);
  const cloudKeys = pin === null ? await readCloudKeys(config.cloud.keys) : [];
  const unlock = lockDirectories(config, log);
  const clock = createSystemClock();
  const sensing = createSensing(config, clock);
  const outputs = await holdOutputs(config, sensing, clock, log);
  atExit(() => outputs.release());
  const release = (): void => {
    outputs.release();
    unlock();
  };
  const told = { log, clock, program, say, setLogLevel, onBreak, ownRelease };
  const prepared = { ...told, scheduleGapMs, pin, cloudKeys, sensing, outputs, release };
  try {
    return await runLocked(config, prepared);
  } catch (cause) {
    // Ports that are open would keep the process.
    await outputs.close().then(() => sensing.close());
    release();
    throw explainDataDir(config.dataDir, cause);
  }
}

/** @returns what releases them @throws DataDirError */
function lockDirectories({ dataDir, firmware }: AgentConfig, log: Log): () => void {
  const unlock = lockDataDir(dataDir);
  try {
    const unlockSlots = firmware === undefined ? () => {} : lockSlots(directoryOf(firmware));
    return () => {
      unlockSlots();
      unlock();
    };
  } catch (cause) {
    if (cause instanceof DataDirError && cause.code === 'data_dir_unusable') {
      // Nobody can install there. Updates say so, and the kiosk goes on reporting.
      log.warn({ err: cause, code: cause.code }, 'The directory of the slots cannot be locked');
      return unlock;
    }
    unlock();
    throw cause;
  }
}

interface Prepared {
  readonly log: Log;
  readonly clock: Clock;
  readonly program: string;
  readonly say: EnrolmentParts['say'];
  readonly setLogLevel: Own['setLogLevel'];
  readonly onBreak: NonNullable<Surroundings['onBreak']>;
  readonly ownRelease: Own['ownRelease'];
  readonly scheduleGapMs: number;
  /** Null for a device that was registered by hand: then `cloudKeys` are what it believes. */
  readonly pin: Pin | null;
  readonly cloudKeys: Awaited<ReturnType<typeof readCloudKeys>>;
  readonly sensing: Sensing;
  readonly outputs: Outputs;
  readonly release: () => void;
}

async function runLocked(config: AgentConfig, prepared: Prepared): Promise<RunningAgent> {
  const { clock, onBreak } = prepared;
  const key = await startIdentityKey(config, clock, prepared.log);
  const release = (): void => {
    key.close();
    prepared.release();
  };
  const pulse = createPulse();
  const disk = pulse.disk(await openDisk(config.dataDir));
  const start = await beginStart(disk);
  tellStart(start, prepared.log);
  const machine = createMachine(config.dataDir);
  const bootId = await machine.bootId();
  const { dataDir } = config;
  const past = await remember({ dataDir, clock, disk, log: prepared.log, bootId, start, version: AGENT_VERSION });
  onBreak((error) => past.broke(error));
  try {
    const time = await openTime(config, { clock, disk, log: past.log, start, bootId });
    const keys = await openIdentityKeys(config, key);
    const own = { ...prepared, log: past.log, disk, signer: speakingSigner(keys), machine, time, start, past, pulse };
    const agent = await beginAgent(config, { ...own, agentVersion: AGENT_VERSION }, keys);
    const stop = (word = past.expected()) =>
      stopRemembering(
        past,
        word,
        () => agent.stop(),
        () => machineGoesDown(clock),
      ).finally(release);
    return { ...agent, stop };
  } catch (cause) {
    past.broke(cause);
    throw cause;
  }
}

/**
 * Why it ends is written down before anything of it stops, and the end behind everything else, so that it says that all
 * of it came to its end.
 */
async function stopRemembering(
  past: Remembering,
  word: EndWord,
  stop: () => Promise<void>,
  askGoesDown: () => Promise<boolean | null>,
): Promise<void> {
  past.stopping(word);
  const [goesDown] = await Promise.all([askGoesDown(), stop()]);
  await past.ended(goesDown === null ? word : { ...word, goesDown });
}

const openTime = (
  { clock: { setSystemClock, stepOverMs } }: AgentConfig,
  { start, bootId, ...parts }: Pick<Own, 'clock' | 'disk' | 'log' | 'start'> & { readonly bootId: string },
): Promise<Own['time']> =>
  openTimekeeper(
    { ...parts, wallClock: setSystemClock ? createWallClock() : null },
    { ...start, bootId, builtAt: BUILT_AT, stepOverMs },
  );

/** By the keys that it was given by hand, or as a device that enrols. */
async function beginAgent(config: AgentConfig, own: Own & Prepared, keys: IdentityKeys): Promise<RunningAgent> {
  const { clock, disk, log, time, pulse, say, pin, cloudKeys } = own;
  const { keepAliveSeconds } = config.cloud;
  if (pin === null) {
    const [device, url] = [config.device ?? '', config.cloud.url ?? ''];
    const session = await beginSession(config, own, { device, url, keepAliveSeconds, cloudKeys: () => cloudKeys });
    return {
      device: () => device,
      online: () => session.online(),
      vitals: () => pulse.vitals(),
      retired: new Promise(() => {}),
      stop: () => session.stop(),
    };
  }
  const parts = { clock, disk, log, time, keys, agentVersion: AGENT_VERSION, say };
  const joining = await openJoining(config, pin, parts);
  return runJoining(joining, own, () => beginSession(config, own, speakingAs(config, joining)));
}

/** A session as soon as the device is let in, at once when it was before. */
async function runJoining(
  { enrolment }: Joining,
  { clock, time, pulse, sensing, outputs }: Pick<Own, 'clock' | 'time' | 'pulse' | 'sensing' | 'outputs'>,
  begin: () => Promise<Session>,
): Promise<RunningAgent> {
  const stopping = new AbortController();
  let session: Session | null = null;
  const start = async (): Promise<void> => {
    if (session === null && enrolment.standing() !== null) session = await begin();
  };
  await start();
  const live = async (): Promise<'retired' | 'stopped'> => {
    const joined = session === null ? await enrolment.join(stopping.signal) : 'accepted';
    if (joined !== 'accepted') return joined;
    await start();
    return enrolment.keep(stopping.signal, async (work) => (await session?.quiet(work)) ?? false);
  };
  const life = live();
  return {
    device: () => enrolment.standing()?.device ?? null,
    online: () => session?.online() ?? false,
    vitals: () => pulse.vitals(),
    retired: life.then((ended) => (ended === 'retired' ? undefined : new Promise<never>(() => {}))),
    async stop() {
      stopping.abort();
      // An attempt that hangs must not keep the goodbye waiting.
      await Promise.race([life, clock.sleep(ATTEMPT_ENDS_WITHIN_MS)]);
      const unspoken = (): Promise<unknown> => Promise.all([time.close(), outputs.close().then(() => sensing.close())]);
      await (session === null ? unspoken() : session.stop());
    },
  };
}

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
