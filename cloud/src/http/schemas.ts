import Type, { type TProperties, type TSchema } from 'typebox';
import { NAME_PATTERN } from '@paddock/shared/names.ts';
import { DEVICE_ID_PATTERN } from '@paddock/shared/topics.ts';
import { BASES, INSTANT_PATTERN } from '@paddock/shared/time.ts';
import { CLOCK_FAULTS } from '../clock/evidence.ts';
import type { FaultView } from '../devices/clock-view.ts';
import { PRESENCE_WORDS, type Presence } from '../devices/presence.ts';

/** What comes in: nothing that is not named. */
export const Input = <P extends TProperties>(properties: P) => Type.Object(properties, { additionalProperties: false });
export const Nullable = <S extends TSchema>(schema: S) => Type.Union([schema, Type.Null()]);

export const DeviceId = Type.String({ pattern: DEVICE_ID_PATTERN });
/** Of a customer, a site or a model. */
export const Id = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' });
export const SensorName = Type.String({ pattern: NAME_PATTERN });
export const Name = Type.String({ minLength: 1, maxLength: 200 });
export const Instant = Type.String({ pattern: INSTANT_PATTERN, description: 'RFC 3339 in UTC with milliseconds' });
export const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
export const Cursor = Type.String({ maxLength: 512, description: 'What `next` of the page before said' });
export const Limit = Type.Integer({ minimum: 1, maximum: 500 });
/** Pages that nobody set a limit for. */
export const DEFAULT_LIMIT = 50;

/** What an edit was made from: the ETag that was read. */
export const IfMatch = Type.Object({ 'if-match': Type.Optional(Type.String({ maxLength: 64 })) });

export const DeviceParams = Type.Object({ deviceId: DeviceId });

export const PresenceState = Type.Unsafe<Presence>(Type.String({ enum: [...PRESENCE_WORDS] }));

/** A public key as a JWK (RFC 7517); of a private one only the public part is taken. */
export const PublicJwk = Type.Object(
  {
    kty: Type.String({ maxLength: 16 }),
    crv: Type.String({ maxLength: 16 }),
    x: Type.String({ maxLength: 128 }),
    y: Type.Optional(Type.String({ maxLength: 128 })),
  },
  { description: 'A public P-256 or Ed25519 key' },
);

export const Jwks = Type.Object({ keys: Type.Array(Type.Object({ kty: Type.Optional(Type.String()) })) });

export const TimeView = Type.Object(
  {
    earliest: Nullable(Instant),
    latest: Instant,
    estimate: Instant,
    basis: Type.Unsafe<(typeof BASES)[number]>(Type.String({ enum: [...BASES] })),
  },
  { description: 'When it happened, and how wrong that can be' },
);

const Ppm = Type.Number({ description: 'Parts per million' });
const Ms = Type.Number({ description: 'Milliseconds' });

/** How fast a device counts time, and what its wall clock did, within one clock. */
export const Rate = {
  driftPpm: Nullable(
    Type.Object(
      { lowest: Ppm, highest: Ppm },
      { description: 'By how much its uptime runs fast, at least and at most; null until exchanges teach it' },
    ),
  ),
  wanderPpm: Ppm,
  steps: Type.Integer({ minimum: 0, description: 'How often the wall clock was set, or jumped' }),
  lastStepMs: Nullable(Ms),
  contradictions: Type.Integer({ minimum: 0, description: 'Reports that contradicted what was known of the clock' }),
  faults: Type.Unsafe<readonly FaultView[]>(
    Type.Array(Type.Object({ code: Type.String({ enum: Object.keys(CLOCK_FAULTS) }), title: Type.String() })),
  ),
} as const;

export const Clock = Type.Object(
  {
    skewMs: Nullable(Type.Number({ description: 'By how much the wall clock is ahead of true time' })),
    skewErrorMs: Nullable(Type.Number({ description: 'How wrong that can be; null: it is no less than that' })),
    ...Rate,
    wrongAtBoot: Type.Boolean({ description: 'More than an hour wrong when the boot began: its battery may be empty' }),
    unsteady: Type.Boolean({ description: 'It wanders more than a crystal does' }),
    lastExchangeAgeMs: Nullable(
      Type.Number({ description: 'Age, at the newest report, of the newest exchange that still bounds the clock' }),
    ),
  },
  { description: 'The clock of the newest report' },
);

/** What became of the reports of one start. */
const Why = Type.Object({
  reason: Type.String({ description: 'power, watchdog, kernel_panic, agent_crash, out_of_memory, update, ...' }),
  basedOn: Type.Array(Type.String(), { description: 'What says so; the most telling first' }),
  detail: Nullable(Type.String()),
});

export const Began = Type.Object(
  {
    agent: Why,
    machine: Nullable(Why),
    ranMs: Nullable(Count),
    ended: Nullable(TimeView),
    crashId: Nullable(Type.String()),
  },
  {
    description:
      'Why it began, as the device says: what ended the start before (`agent`), why the machine was booted ' +
      '(`machine`, null when it was not), and the last sign of life before it (`ended`)',
  },
);

export const Delivery = {
  recorded: Count,
  newestSequence: Nullable(Count),
  missing: Type.Integer({ minimum: 0, description: 'Sequences up to the newest that are not recorded' }),
  droppedRoutine: Type.Integer({ minimum: 0, description: 'Routine reports that the outbox of the device dropped' }),
  droppedEvents: Type.Integer({ minimum: 0, description: 'Events that the outbox of the device dropped' }),
  refused: Type.Integer({ minimum: 0, description: 'Of the missing, those that were refused for ever' }),
  abandoned: Type.Integer({ minimum: 0, description: 'Of the missing, those that are awaited no longer' }),
  lostOrOnTheWay: Type.Integer({ minimum: 0, description: 'Of the missing, those that nothing explains' }),
} as const;

const DesiredErrorView = Type.Object({ code: Type.String(), detail: Type.Optional(Type.String()) });
/** How a device does with its desired state. */
export const convergence = {
  epoch: Count,
  version: Type.Integer({ minimum: 0, description: 'What holds; 0 when nothing was ever set' }),
  reported: Nullable(
    Type.Object(
      {
        epoch: Count,
        version: Count,
        errors: Type.Optional(Type.Record(Type.String(), DesiredErrorView)),
        withheld: Type.Optional(Type.Object({ epoch: Count, version: Count })),
      },
      {
        description:
          'What the device holds, with the keys of it that it could not apply, and what it was told of and does not get',
      },
    ),
  ),
  converged: Type.Boolean({ description: 'The device holds this version, and could apply all of it' }),
} as const;
export const Convergence = Type.Object(convergence, { description: 'Null until anything was set' });

export const Identity = {
  incarnation: Type.String({ pattern: '^[A-Za-z0-9_-]{11}$' }),
  start: Count,
  sequence: Count,
} as const;

const Jwk = Type.Object({ kty: Type.Optional(Type.String()) });

/** What a device signed, with all that it takes to verify it offline. */
export const Proof = Type.Object({
  deviceId: DeviceId,
  receivedAt: Instant,
  digest: Type.String(),
  envelope: Type.String({ description: 'The compact JWS as it came' }),
  key: Jwk,
  keys: Type.Array(
    Type.Object({
      thumbprint: Type.String(),
      keyId: Type.String(),
      jwk: Jwk,
      addedAt: Instant,
      revokedAt: Nullable(Instant),
    }),
  ),
  dictionary: Nullable(Type.String({ description: 'The preset dictionary of the deflated payload, base64' })),
});

const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: 'Stable: what to switch on' }),
    detail: Type.Optional(Type.String()),
    errors: Type.Optional(
      Type.Array(
        Type.Object({ in: Type.String(), pointer: Type.String(), code: Type.String(), detail: Type.String() }),
      ),
    ),
  },
  { description: 'Problem details (RFC 9457), sent as application/problem+json' },
);

/** What every route may answer instead. */
export const refusals = { '4xx': Problem, '5xx': Problem } as const;

export const pageSchema = <S extends TSchema>(item: S) =>
  Type.Object({ items: Type.Array(item), next: Nullable(Type.String()) });
