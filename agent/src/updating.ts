import { readFile } from 'node:fs/promises';
import { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { rootCertificates } from 'node:tls';
import { join } from 'node:path';
import type { Reading } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import { giveBackFreedMemory } from './adapters/allocator.ts';
import { connectLauncher } from './adapters/launcher-client.ts';
import { createPrograms } from './adapters/programs.ts';
import { createRepository } from './adapters/repository.ts';
import { addressOf, connectTls } from './adapters/tls.ts';
import { zstd } from './adapters/zstd.ts';
import type { AgentConfig } from './config.ts';
import type { Standing } from './enrol/membership.ts';
import type { Pin } from './enrol/pin.ts';
import { directoryOf } from './config/firmware-settings.ts';
import { openInstaller } from './installer.ts';
import type { OwnRelease } from './own-release.ts';
import type { EndWord } from './past/runs.ts';
import type { Clock, Disk, ServerTrust } from './ports.ts';
import type { Launcher } from './ports-firmware.ts';
import { openRauc } from './rauc-installer.ts';
import { codeOf, type Log } from './report/log.ts';
import type { Timekeeper } from './report/timekeeper.ts';
import { hasSettled } from './report/triggers.ts';
import { APP_DIRECTORY, slotEnvironment } from './slots/environment.ts';
import type { FirstRoot } from './tuf/beginning.ts';
import type { UpdateParts } from './update/parts.ts';
import type { UpdateSensors } from './update/trial.ts';
import { openUpdates, type Updates } from './update/updates.ts';

const HTTPS_PORT = 443;
/** Where the launcher answers, in the directory of the slots. */
const SOCKET = 'launcher.sock';
/** What runs from one of RAUC's slots. */
const ROOT_DIRECTORY = '/';
/** How long work under way may take to end when the agent stops: it is gone on with at the next start. */
const ENDS_WITHIN_MS = 2_000;
/** What a slow sensor may take until it tells something. */
const SENSORS_WITHIN_MS = 60_000;
const SENSORS_POLL_MS = 250;

export interface UpdatingParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly time: Pick<Timekeeper, 'at'>;
  readonly bootId: string;
  /** Null for a device that was registered by hand. */
  readonly pin: Pin | null;
  readonly standing: () => Standing | null;
  /** Absent: no other agent runs in this one's place. */
  readonly ownRelease?: OwnRelease | null;
  /** Hears what this agent will be told to stop for: a machine that it starts again for an update. */
  readonly expectsEnd: (word: EndWord | null) => void;
  /** Of all sensors, now. */
  readonly readings: () => Readonly<Record<string, Reading>>;
  /** Of the kiosk's own software; absent where it has no interface. */
  readonly applicationFault?: (since: UptimeMs) => string | null;
}

export interface Updating extends Updates {
  stop(): Promise<void>;
}

/** Opens updates, and does from now on what there is to do. @throws what the disk throws */
export async function beginUpdating(
  firmware: NonNullable<AgentConfig['firmware']>,
  parts: UpdatingParts,
): Promise<Updating> {
  const updates = await openUpdating(firmware, parts);
  const stopping = new AbortController();
  const run = updates.run(stopping.signal);
  return {
    ...updates,
    async stop() {
      stopping.abort();
      await Promise.race([run, parts.clock.sleep(ENDS_WITHIN_MS)]);
      await updates.close();
    },
  };
}

/**
 * Updates on this machine's slots, for a device whose configuration names them.
 * @throws what the disk throws
 */
export async function openUpdating(
  firmware: NonNullable<AgentConfig['firmware']>,
  parts: UpdatingParts,
): Promise<Updates & { close(): Promise<void> }> {
  const { root, model, appDir: appDirectory = join(directoryOf(firmware), APP_DIRECTORY) } = firmware;
  const { clock, disk, log, time, bootId, pin, standing, readings, applicationFault } = parts;
  giveBackFreedMemory();
  const { installer, launcher, slotPath, close } = openSlots(firmware, parts);
  const rootFile = root === undefined ? null : await readRoot(root, log);
  const own = pin === null ? null : `${pin.url.replace(/\/$/, '')}/firmware/`;
  const updates = await openUpdates({
    clock,
    disk,
    log,
    installer,
    launcher,
    programs: createPrograms(clock, (own, nodeDirectory) => slotEnvironment({ appDirectory, nodeDirectory }, own)),
    zstd,
    time: time.at,
    firstRoot: () => rootFile ?? standing()?.firmwareRoot ?? null,
    ownRepository: () => own,
    openRepository: (base) =>
      createRepository({ base, clock, connect: connectorOf(base, () => trustOf(base === own, parts), clock) }),
    model: () => model ?? pin?.model ?? null,
    bootId,
    slotPath,
    sensors: createUpdateSensors(clock, readings),
    ...(applicationFault && { applicationFault }),
    random: Math.random,
  });
  return { ...updates, close };
}

interface Slots extends Pick<UpdateParts, 'installer' | 'launcher' | 'slotPath'> {
  readonly close: () => Promise<void>;
}

/** What a slot is, and who starts it: a directory and the launcher, or a root file system and the bootloader. */
function openSlots(firmware: NonNullable<AgentConfig['firmware']>, parts: UpdatingParts): Slots {
  if (firmware.rauc !== undefined)
    return { ...openRauc(firmware.rauc.directory, firmware.rauc, parts), slotPath: () => ROOT_DIRECTORY };
  const { slots } = firmware;
  const installer = openInstaller(slots);
  const launcher = endingWith(connectLauncher(join(slots, SOCKET)), parts.ownRelease);
  return { installer, launcher, slotPath: (slot) => join(slots, slot), close: () => installer.close() };
}

/**
 * Where the release that the launcher begins has an agent of its own, that one judges it: nothing more is done here but
 * to end.
 */
const endingWith = (launcher: Launcher, own: OwnRelease | null = null): Launcher => ({
  ...launcher,
  async restart() {
    await launcher.restart();
    if (own?.isOver()) await new Promise<never>(() => {});
  },
});

/** One that cannot be read is none: the kiosk goes on with what it runs, and reports why it installs nothing. */
async function readRoot(file: string, log: Log): Promise<FirstRoot | null> {
  try {
    return { bytes: await readFile(file) };
  } catch (cause) {
    log.error({ code: codeOf(cause), file }, 'The root metadata of firmware cannot be read');
    return null;
  }
}

/** Null: plain HTTP. What is fetched is believed for its hash alone. */
const connectorOf = (base: string, trust: () => ServerTrust, clock: Clock): (() => Promise<Duplex>) | null =>
  base.startsWith('https:') ? () => connectTls(addressOf(base, HTTPS_PORT), trust(), null, clock) : null;

/** The cloud's own repository by the cloud's authorities, any other by those that Node brings along; dates by trusted time. */
function trustOf(isOwn: boolean, { clock, time, pin, standing }: UpdatingParts): ServerTrust {
  const now = time.at({ at: clock.monotonic(), segment: clock.segment() });
  if (!isOwn) return { authorities: publicAuthorities(), fingerprint: null, time: now };
  const known = standing();
  return { authorities: known?.authorities ?? [], fingerprint: known === null ? (pin?.ca ?? null) : null, time: now };
}

const publicAuthorities = (): Uint8Array[] => rootCertificates.map((pem) => new X509Certificate(pem).raw);

export function createUpdateSensors(
  clock: Pick<Clock, 'monotonic' | 'sleep'>,
  readings: UpdatingParts['readings'],
): UpdateSensors {
  const until = clock.monotonic() + SENSORS_WITHIN_MS;
  const good = (): number => Object.values(readings()).filter(({ quality = 'good' }) => quality === 'good').length;
  return {
    good,
    async settled(signal) {
      while (!signal.aborted && clock.monotonic() < until && !hasSettled(readings()))
        await clock.sleep(SENSORS_POLL_MS, signal);
      signal.throwIfAborted();
      return good();
    },
  };
}
