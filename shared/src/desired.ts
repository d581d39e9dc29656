import type { Static } from 'typebox';
import * as Type from 'typebox';
import { BundleName, BundleVersion, ReleaseCounter, Sha256 } from './manifest.ts';
import { NAME_PATTERN } from './names.ts';
import { Count, DeviceId, Incarnation, Instant, parserOf } from './message.ts';

/** Names of what can be desired. */
export const DESIRED_KEY_PATTERN = '^[a-z][a-zA-Z0-9]{0,31}$';

/**
 * Desired state, whole: what shall last on a device. It converges upon the newest (epoch, version) and never goes back.
 * Each key of `state` is read by itself, so that one that a device does not understand spoils no other.
 */
export const Desired = Type.Object({
  v: Type.Integer(),
  device: DeviceId,
  /** Of the device as the cloud knows it: nobody else's, and none of a life before. */
  incarnation: Incarnation,
  /** As the sealed list of keys says it; a new one is opened after a restore. */
  epoch: Count,
  /** Grows within its epoch. */
  version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  issuedAt: Instant,
  /** Not to be taken up later; what was taken up stays. */
  expiresAt: Instant,
  state: Type.Record(Type.String({ pattern: DESIRED_KEY_PATTERN }), Type.Unknown(), {
    maxProperties: 32,
    additionalProperties: false,
  }),
});
export type Desired = Static<typeof Desired>;

/** @throws Refusal `version_unsupported` or `payload_invalid` */
export const parseDesired = parserOf(Desired);

const closed = { additionalProperties: false };
const TimeOfDay = Type.String({ pattern: '^([01][0-9]|2[0-3]):[0-5][0-9]$' });
export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Weekday = (typeof WEEKDAYS)[number];

/** When a device may change what it runs: local time of its site, `to` on the next day when it is not after `from`. */
export const MaintenanceWindow = Type.Object(
  {
    /** An IANA time zone. */
    zone: Type.String({ minLength: 1, maxLength: 64 }),
    /** On which `from` lies; absent means any. */
    days: Type.Optional(Type.Array(Type.Enum([...WEEKDAYS]), { minItems: 1, maxItems: 7 })),
    from: TimeOfDay,
    to: TimeOfDay,
  },
  closed,
);
export type MaintenanceWindow = Static<typeof MaintenanceWindow>;

/** The key `firmware`: the release that a device shall run. It installs it only if TUF's metadata say the same of it. */
export const DesiredFirmware = Type.Object(
  {
    name: BundleName,
    version: BundleVersion,
    counter: ReleaseCounter,
    /** The release's digest: SHA-256 of its manifest. */
    sha256: Sha256,
    /** Where the repository is; absent: at the enrolment service of the cloud, under /firmware/. */
    repository: Type.Optional(Type.String({ pattern: '^https?://[^?#]+/$', maxLength: 512 })),
    /** Absent: at any time. */
    window: Type.Optional(MaintenanceWindow),
    /** Changes although somebody holds the device's update lock. */
    overrideLock: Type.Optional(Type.Boolean()),
    /** At most so many bytes a second are fetched. */
    bytesPerSecond: Type.Optional(Type.Integer({ minimum: 1024, maximum: 1_073_741_824 })),
  },
  closed,
);
export type DesiredFirmware = Static<typeof DesiredFirmware>;

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** The key `agent`: settings of the agent that win over its file's. */
export const DesiredAgent = Type.Object(
  {
    /** A cron expression: when to report. */
    schedule: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    logLevel: Type.Optional(Type.Enum([...LOG_LEVELS])),
  },
  closed,
);
export type DesiredAgent = Static<typeof DesiredAgent>;

/** What a thing that a device drives can be told to be. */
const OutputValue = Type.Union([Type.Boolean(), Type.Number(), Type.String({ maxLength: 64 })]);

/** An output as it is desired: the value, or the value and for how long it holds without an answer that renews it. */
const DesiredOutput = Type.Union([
  OutputValue,
  Type.Object({ value: OutputValue, leaseSeconds: Type.Integer({ minimum: 5, maximum: 31_622_400 }) }, closed),
]);
export type DesiredOutput = Static<typeof DesiredOutput>;

/** The key `outputs`: what the outputs of a device's file shall be, by name. */
export const DesiredOutputs = Type.Record(Type.String({ pattern: NAME_PATTERN }), DesiredOutput, {
  maxProperties: 64,
  additionalProperties: false,
});
export type DesiredOutputs = Static<typeof DesiredOutputs>;

/** A key that could not be applied, as a device reports it. */
export const DesiredError = Type.Object({
  code: Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' }),
  detail: Type.Optional(Type.String({ maxLength: 256 })),
});
export type DesiredError = Static<typeof DesiredError>;

/** In a report: the version that holds on the device, and what of it could not be applied. */
export const ReportedDesired = Type.Object({
  epoch: Count,
  version: Count,
  errors: Type.Optional(
    Type.Record(Type.String({ pattern: DESIRED_KEY_PATTERN }), DesiredError, {
      maxProperties: 32,
      additionalProperties: false,
    }),
  ),
  /** A newer version that answers name and that has not come. Without another one taken up, `version` is 0. */
  withheld: Type.Optional(Type.Object({ epoch: Count, version: Count })),
});
export type ReportedDesired = Static<typeof ReportedDesired>;

/** How an output does with what is desired of it. The wire takes any word of this form. */
export const OUTPUT_STATES = {
  own: 'Nothing is desired of it: it is what the device itself makes of it',
  applied: 'It is as it is desired, as far as the hardware can say',
  pending: 'It is on the way there',
  away: 'The cloud has said nothing for longer than it may, or nothing in this start: it is safe',
  failed: 'It is not as it shall be, for the reason that is named',
} as const satisfies Record<string, string>;
export type OutputStanding = keyof typeof OUTPUT_STATES;

/** In a report: one output. */
export const ReportedOutput = Type.Object({
  state: Type.String({ pattern: '^[a-z][a-z-]{0,31}$' }),
  /** Absent: nothing. */
  desired: Type.Optional(OutputValue),
  /** What was read back, or what the hardware said that it did; null while nobody knows. */
  actual: Type.Union([Type.Null(), OutputValue]),
  error: Type.Optional(DesiredError),
});
export type ReportedOutput = Static<typeof ReportedOutput>;
