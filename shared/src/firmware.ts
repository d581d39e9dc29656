import type { Static } from 'typebox';
import * as Type from 'typebox';
import { DesiredError } from './desired.ts';
import { BundleName, BundleVersion, ReleaseCounter, Sha256 } from './manifest.ts';
import { Count } from './message.ts';

/** FirmwareStatusEnumType of OCPP 2.0.1. */
export const FIRMWARE_STATUSES = [
  'Idle',
  'DownloadScheduled',
  'Downloading',
  'DownloadPaused',
  'Downloaded',
  'DownloadFailed',
  'SignatureVerified',
  'InvalidSignature',
  'InstallScheduled',
  'Installing',
  'InstallVerificationFailed',
  'InstallReboot',
  'Installed',
  'InstallationFailed',
] as const;
export type FirmwareStatus = (typeof FIRMWARE_STATUSES)[number];

/** Where a device is on its way to a release, and what that is in OCPP's words. */
export const UPDATE_STATES = {
  idle: 'Idle', // runs what it shall run, or shall run nothing
  offered: 'DownloadScheduled', // desired; metadata are being looked at
  'waiting-for-window': 'DownloadScheduled', // genuine; nothing is fetched outside of the window
  downloading: 'Downloading',
  verified: 'SignatureVerified', // all of it is here, each object is what its hash says
  staging: 'Installing', // being written into the slot that does not run
  staged: 'Installing', // written, synced, and read again
  'waiting-for-lock': 'InstallScheduled', // somebody uses the kiosk, or the window has closed
  armed: 'InstallReboot', // the launcher is told: the next start is a trial
  switched: 'InstallReboot', // the launcher has started it
  trial: 'InstallReboot', // it runs and is being judged
  committed: 'Installed', // it is what runs from now on
  'rolling-back': 'InstallationFailed', // the launcher is told to go back
  'rolled-back': 'InstallationFailed', // what ran before runs again; the other's digest is in quarantine
  failed: 'InstallationFailed', // not installed; what runs was not touched
} as const satisfies Record<string, FirmwareStatus>;
export type UpdateState = keyof typeof UPDATE_STATES;

export const Release = Type.Object({
  name: BundleName,
  version: BundleVersion,
  counter: ReleaseCounter,
  /** The release's digest: SHA-256 of its manifest. */
  sha256: Sha256,
});
/** A release as devices and desired state name it. */
export type Release = Static<typeof Release>;

export const SLOTS = ['a', 'b'] as const;
export type Slot = (typeof SLOTS)[number];

/** In a report: what the device runs, and how its update does. */
export const ReportedFirmware = Type.Object({
  status: Type.Enum([...FIRMWARE_STATUSES]),
  state: Type.String({ pattern: '^[a-z][a-z-]{0,31}$' }),
  /** What the launcher runs; null when that is nothing. */
  slot: Type.Union([Type.Null(), Type.Enum([...SLOTS])]),
  running: Type.Union([Type.Null(), Release]),
  /** Whether what runs is what a boot would run without counting attempts. */
  committed: Type.Boolean(),
  /** Where it goes to, while it is on its way or has failed to. */
  target: Type.Optional(Release),
  /** Of the download, or of writing the slot, 0 to 100. */
  progressPercent: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
  /** Why the last update to `target` did not come to its end. */
  error: Type.Optional(DesiredError),
  /** Versions of TUF's metadata that are trusted. */
  metadata: Type.Optional(
    Type.Object({
      root: Count,
      timestamp: Type.Optional(Count),
      snapshot: Type.Optional(Count),
      targets: Type.Optional(Count),
    }),
  ),
  /** Digests that will not be installed again, newest first. */
  quarantined: Type.Optional(Type.Array(Sha256, { maxItems: 8 })),
});
export type ReportedFirmware = Static<typeof ReportedFirmware>;
