import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Began, CrashId, MAX_TROUBLES, Trouble } from './began.ts';
import { MAX_CRASHES } from './crash.ts';
import { ReportedDesired, ReportedOutput } from './desired.ts';
import { ReportedFirmware } from './firmware.ts';
import { NAME_PATTERN } from './names.ts';
import { Count, DeviceId, Digest, Incarnation, Instant, Nonce, parserOf } from './message.ts';

const Name = Type.String({ pattern: NAME_PATTERN });
/** What an event may be known by; whoever posts it chooses it. */
export const EVENT_ID_PATTERN = '^[A-Za-z0-9_-]{8,64}$';
const ShortText = Type.String({ maxLength: 256 });

export const QUALITIES = ['good', 'suspect', 'bad'] as const;
export type Quality = (typeof QUALITIES)[number];

/**
 * Why a reading is not good. The wire takes any word of this form, so that a newer agent can say more.
 * A `bad` reading has the value null: an old value never looks fresh.
 */
export const QUALITY_REASONS = [
  'no-sample', // nothing was read since the start
  'stale', // the last sample is older than the sensor's maximum age
  'out-of-range', // the value lies outside the sensor's range
  'flatline', // an analogue value that has not moved for longer than nature allows
  'chatter', // a contact that changes faster than its debounce allows
  'checksum', // the frame arrived damaged (CRC)
  'malformed', // what arrived does not fit the pattern, the type or the length
  'silent-port', // the port is open and says nothing
  'unplugged', // the port is gone
  'denied', // the agent may not use the port
  'busy', // another program has the line
  'no-line', // the chip has no such line
  'no-answer', // the unit on the bus did not answer
  'refused', // the unit answered with an exception; the driver refuses what it is asked for
  'driver-failed', // the plug-in driver of the port broke, stands still, or was not let in
  'edges-lost', // a line went to and fro unseen a short time ago
] as const;
export type QualityReason = (typeof QUALITY_REASONS)[number];

const Reading = Type.Object({
  value: Type.Union([Type.Null(), Type.Boolean(), Type.Number(), Type.String({ maxLength: 1024 })]),
  unit: Type.Optional(Type.String({ maxLength: 16 })),
  /** Age of the sample at the report's `uptimeMs`; null when there never was one. */
  ageMs: Type.Union([Type.Null(), Count]),
  /** Absent means good. */
  quality: Type.Optional(Type.Union([Type.Literal('good'), Type.Literal('suspect'), Type.Literal('bad')])),
  reason: Type.Optional(Type.String({ pattern: '^[a-z][a-z0-9-]{0,31}$' })),
  /** Binary and enum: how many changes since the start; with the start it names one change for ever. */
  changes: Type.Optional(Count),
  /** Binary and enum: how long ago the value changed; null until a change was seen. */
  changedAgoMs: Type.Optional(Type.Union([Type.Null(), Count])),
  /** Binary and enum, while `changedAgoMs` is null: for how long at least the value has been what it is. */
  heldForMs: Type.Optional(Count),
  /** Of a GPIO line: how often since the start edges went by unseen. As long as it is the same, nothing did. */
  gaps: Type.Optional(Count),
});
export type Reading = Static<typeof Reading>;

/** What made the device report. Whatever it was, the report is the whole state. */
const Trigger = Type.Union([
  Type.Object({ kind: Type.Literal('boot') }),
  Type.Object({ kind: Type.Literal('connect') }),
  Type.Object({ kind: Type.Literal('schedule') }),
  /** An update went on, or failed. */
  Type.Object({ kind: Type.Literal('firmware') }),
  Type.Object({ kind: Type.Literal('change'), sensor: Name }),
  Type.Object({
    kind: Type.Literal('event'),
    name: Name,
    /** Of an event that the kiosk's own software posted: told again it has the same one, and is to be acted on once. */
    id: Type.Optional(Type.String({ pattern: EVENT_ID_PATTERN })),
    /** How long before `uptimeMs` it happened; absent means at `uptimeMs`. */
    agoMs: Type.Optional(Count),
    data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  }),
  /** Desired state was taken up. */
  Type.Object({ kind: Type.Literal('desired') }),
  Type.Object({ kind: Type.Literal('shutdown') }),
]);
export type Trigger = Static<typeof Trigger>;

const Host = Type.Object({
  /** Share of all processors in use since the last report, 0 to 1. */
  processorShare: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
  /** Load average over one minute. */
  load1: Type.Optional(Type.Number({ minimum: 0 })),
  memoryTotalMiB: Type.Optional(Count),
  memoryAvailableMiB: Type.Optional(Count),
  diskTotalMiB: Type.Optional(Count),
  diskFreeMiB: Type.Optional(Count),
  temperatureC: Type.Optional(Type.Number()),
  agentRssMiB: Type.Optional(Count),
});
export type Host = Static<typeof Host>;

/**
 * The device's side of an exchange: a report that asked, and its answer. With what the answer says itself these are
 * the four timestamps of RFC 5905. All of it lies in the boot and the clock segment of the report that tells of it.
 */
const Exchange = Type.Object({
  /** When the report that asked was first handed to the connection. */
  requestUptimeMs: Count,
  /** As the answer says them. */
  receivedAt: Instant,
  sentAt: Instant,
  /** When the answer arrived, stamped before anything was done with it. */
  responseUptimeMs: Count,
});
export type Exchange = Static<typeof Exchange>;

/** As many exchanges as one report tells of. */
export const MAX_EXCHANGES = 8;

/** The full state of the device, whatever triggered it: a lost report costs nothing but detail. */
export const Report = Type.Object({
  v: Type.Integer(),
  device: DeviceId,
  /** Random, lives with the state file. */
  incarnation: Incarnation,
  /** Counts starts of the agent; durable before the first report of the start. */
  start: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  /** Counts reports of this start from 0. (incarnation, start, sequence) is the order and the identity. */
  sequence: Count,
  /** The kernel's boot id (a UUID), and why the machine booted where that is known (OCPP 2.0.1's BootReason). */
  boot: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }), reason: Type.Optional(ShortText) }),
  /** CLOCK_MONOTONIC_RAW when the state was taken. */
  uptimeMs: Count,
  /** The clock segment: absent means 0, before the first suspend of the boot; a larger number after each. */
  segment: Type.Optional(Count),
  /** What the device's wall clock claims, in ms since 1970: a claim, never the order. */
  wallMs: Type.Optional(Type.Integer({ minimum: -8_640_000_000_000_000, maximum: 8_640_000_000_000_000 })),
  trigger: Trigger,
  /** The next report comes within this time: what silence is judged by. */
  nextWithinMs: Count,
  /** Asks for an answer that repeats this nonce. */
  ask: Type.Optional(Nonce),
  // Closed: a name outside the pattern would otherwise carry a reading that nobody checked.
  readings: Type.Record(Name, Reading, { maxProperties: 512, additionalProperties: false }),
  /** Exchanges of this boot and segment that the cloud may not know of yet. */
  exchanges: Type.Optional(Type.Array(Exchange, { maxItems: MAX_EXCHANGES })),
  host: Type.Optional(Host),
  agent: Type.Optional(Type.Object({ version: ShortText })),
  /** What waits to be covered by an answer, and what had to be dropped since the start. */
  outbox: Type.Optional(Type.Object({ waiting: Count, droppedRoutine: Count, droppedEvents: Count })),
  inventory: Type.Optional(Digest),
  /** What of desired state holds on the device; absent before the first. */
  desired: Type.Optional(ReportedDesired),
  /** Absent on a device that installs nothing. */
  firmware: Type.Optional(ReportedFirmware),
  /** By name: those of the device's file, and those that it does not have. Absent where there are none of either. */
  outputs: Type.Optional(Type.Record(Name, ReportedOutput, { maxProperties: 96, additionalProperties: false })),
  /** Why this start began; until the first answer of the start. */
  began: Type.Optional(Began),
  /** Crash reports that the device keeps until an answer settles them; where the report asks. */
  crashes: Type.Optional(Type.Array(CrashId, { maxItems: MAX_CRASHES })),
  /** What is wrong with the machine; absent while nothing is. */
  troubles: Type.Optional(Type.Array(Trouble, { maxItems: MAX_TROUBLES })),
});
export type Report = Static<typeof Report>;

/** @throws Refusal `version_unsupported` or `payload_invalid` */
export const parseReport = parserOf(Report);
