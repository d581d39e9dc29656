import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Began, CrashId } from './began.ts';
import { Count, DeviceId, Incarnation, parserOf } from './message.ts';

/** Bounds of one crash report; a device keeps {@link MAX_CRASHES} until the cloud has them. */
export const MAX_CRASHES = 4;
export const MAX_BREADCRUMBS = 128;
export const MAX_STACK = 12_288;
export const MAX_KERNEL_TEXT = 16_384;
/** Of the payload as it travels, deflated. */
export const MAX_CRASH_BYTES = 16_384;

const MAX_WHAT = 160;
const MAX_VALUE = 128;
export const MAX_MORE = 8;

/** A moment of the start before: what the agent did. */
export const Breadcrumb = Type.Object({
  uptimeMs: Count,
  level: Type.String({ pattern: '^[a-z]{1,8}$' }),
  what: Type.String({ maxLength: MAX_WHAT }),
  more: Type.Optional(
    Type.Record(
      Type.String({ pattern: '^[a-zA-Z][a-zA-Z0-9]{0,31}$' }),
      Type.Union([Type.String({ maxLength: MAX_VALUE }), Type.Number(), Type.Boolean()]),
      { maxProperties: MAX_MORE, additionalProperties: false },
    ),
  ),
});
export type Breadcrumb = Static<typeof Breadcrumb>;

/** What a device knows of an end that was not in good order: signed, bounded, without secrets. */
export const Crash = Type.Object({
  v: Type.Integer(),
  device: DeviceId,
  id: CrashId,
  incarnation: Incarnation,
  /** The start that tells, and when it looked: as in a report. */
  start: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  boot: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
  uptimeMs: Count,
  segment: Type.Optional(Count),
  /** As reports of that start say it. */
  began: Began,
  /** The version of the agent that ended. */
  agent: Type.Optional(Type.Object({ version: Type.String({ maxLength: 64 }) })),
  error: Type.Optional(
    Type.Object({
      name: Type.String({ maxLength: 64 }),
      message: Type.String({ maxLength: 1024 }),
      stack: Type.String({ maxLength: MAX_STACK }),
    }),
  ),
  /** Oldest first. */
  breadcrumbs: Type.Array(Breadcrumb, { maxItems: MAX_BREADCRUMBS }),
  /** What the kernel said at last. */
  kernel: Type.Optional(Type.String({ maxLength: MAX_KERNEL_TEXT })),
  /** Something was left out, because all of it would have been too much. */
  shortened: Type.Optional(Type.Boolean()),
});
export type Crash = Static<typeof Crash>;

/** @throws Refusal `version_unsupported` or `payload_invalid` */
export const parseCrash = parserOf(Crash);
