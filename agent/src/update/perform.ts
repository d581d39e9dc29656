import { parseManifest, type Manifest } from '@paddock/shared/manifest.ts';
import type { DesiredError, DesiredFirmware } from '@paddock/shared/desired.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { InstallerStatus, Repository } from '../ports-firmware.ts';
import type { Tuf } from '../tuf/tuf.ts';
import { agree, type Agreed, type Before } from './agreement.ts';
import { runOf } from './commands.ts';
import type { Outcome } from './conclude.ts';
import { download } from './download.ts';
import type { Action } from './facts.ts';
import type { Journal } from './journal.ts';
import type { UpdateParts } from './parts.ts';
import { judged, limitsOf } from './trial.ts';
import { UpdateError } from './update-error.ts';

/** What is known of the target in this start of the agent; it is found out anew after a restart. */
export interface Known {
  agreed: (Agreed & { readonly at: UptimeMs }) | null;
  index: Uint8Array | null;
  /** Of the download, or of writing the slot; null when neither goes on. */
  share: number | null;
}

export interface Setting {
  readonly parts: UpdateParts;
  readonly tuf: Tuf;
  readonly repository: Repository;
  readonly known: Known;
  readonly journal: Journal;
  readonly slots: InstallerStatus;
  readonly desired: DesiredFirmware | null;
}

type Work = (setting: Setting, signal: AbortSignal) => Promise<Outcome>;
const DONE: Outcome = { kind: 'done' };

/** What each action is. Whatever is thrown is a failure of it. */
export const ACTIONS: Readonly<Record<Action, Work>> = {
  async look({ parts, tuf, desired, slots, known, journal }, signal) {
    if (desired === null) return DONE;
    const agreed = await agree({ tuf, ...parts }, desired, beforeOf(desired, slots, journal), signal);
    known.agreed = { ...agreed, at: parts.clock.monotonic() };
    return DONE;
  },
  async download(setting, signal) {
    const { parts, repository, known, journal, desired } = setting;
    const { manifest } = agreedOf(setting);
    const options = {
      isWhole: journal.isWhole,
      bytesPerSecond: desired?.bytesPerSecond,
      progress: (share: number) => void (known.share = share),
    };
    try {
      known.index = await download({ ...parts, repository }, manifest, options, signal);
    } finally {
      known.share = null;
    }
    return DONE;
  },
  async stage(setting, signal) {
    const { parts, known } = setting;
    const { release, manifest, bytes } = agreedOf(setting);
    if (known.index === null) throw new UpdateError('update_failed', 'staged before it was fetched');
    let done = 0;
    const progress = (more: number): void => {
      done += more;
      known.share = Math.min(1, done / Math.max(1, manifest.bytes));
    };
    try {
      await parts.installer.stage({ release, manifest: bytes, index: known.index }, signal, progress);
    } finally {
      known.share = null;
    }
    return DONE;
  },
  async before(setting, signal) {
    const { manifest } = agreedOf(setting);
    const slot = setting.slots.running?.slot === 'a' ? 'b' : 'a';
    await hook(setting.parts, slot, manifest.hooks?.before, signal);
    return { kind: 'done', goodSensors: await setting.parts.sensors.settled(signal) };
  },
  async activate(setting) {
    const { release, manifest } = agreedOf(setting);
    await setting.parts.installer.activate(release.sha256, limitsOf(manifest));
    return DONE;
  },
  async restart({ parts }) {
    await parts.launcher.restart();
    return DONE;
  },
  async after({ parts, slots }, signal) {
    const manifest = await runningManifest(parts);
    if (slots.trial !== null) await hook(parts, slots.trial.slot, manifest.hooks?.after, signal);
    return DONE;
  },
  async judge({ parts, journal, slots }, signal) {
    if (slots.trial === null) return DONE;
    const { health, run } = await runningManifest(parts);
    // The agent may have started with the machine: its sensors get their time before that of the release begins.
    if (health.sensors) await parts.sensors.settled(signal);
    const { sha256 } = slots.trial.release;
    const criteria = { sha256, health, runs: run !== undefined, goodSensors: journal.goodSensors };
    return outcomeOf(await judged(parts, slots.trial.slot, criteria, signal));
  },
  async 'mark good'({ parts, slots }) {
    if (slots.trial !== null) await parts.installer.markGood(slots.trial.release.sha256);
    return DONE;
  },
  async 'roll back'({ parts }) {
    await parts.installer.rollBack();
    return DONE;
  },
  async 'try other'({ parts }) {
    await parts.installer.rollBack();
    return DONE;
  },
};

const outcomeOf = (error: DesiredError | null): Outcome => (error === null ? DONE : { kind: 'failed', error });

/** Where the disk lost what was committed, what it was is still known. */
function beforeOf({ name }: DesiredFirmware, { running }: InstallerStatus, { floors }: Journal): Before | null {
  if (running?.committed === true) return running.release;
  const floor = Object.hasOwn(floors, name) ? floors[name] : undefined;
  return floor === undefined ? null : { name, counter: floor.counter };
}

function agreedOf({ known, journal }: Setting): Agreed {
  const { agreed } = known;
  // Decided on before: nothing that they do not agree on gets here.
  if (agreed === null || agreed.release.sha256 !== journal.target?.sha256) throw new UpdateError('update_failed');
  return agreed;
}

async function runningManifest({ installer }: UpdateParts): Promise<Manifest> {
  const manifest = await installer.manifest();
  if (manifest === null) throw new UpdateError('update_failed', 'the slot on trial holds nothing whole');
  return parseManifest(manifest);
}

async function hook(
  parts: UpdateParts,
  slot: 'a' | 'b',
  program: NonNullable<Manifest['hooks']>['before'],
  signal: AbortSignal,
): Promise<void> {
  const fault = program === undefined ? null : await runOf(parts, slot, program, signal);
  if (fault !== null) throw new UpdateError('update_hook_failed', fault);
}
