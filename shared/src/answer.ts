import type { Static } from 'typebox';
import * as Type from 'typebox';
import { CrashId } from './began.ts';
import { MAX_CRASHES } from './crash.ts';
import { Count, DesiredVersion, DeviceId, Digest, Incarnation, Instant, Nonce, parserOf } from './message.ts';

/** First and last sequence of a run, both included. */
const SequenceRange = Type.Tuple([Count, Count]);
export type SequenceRange = readonly [first: number, last: number];

/** A report that will never be recorded: sending it again is useless. */
const Rejection = Type.Object({
  /** Null when the payload could not be read that far. */
  sequence: Type.Union([Type.Null(), Count]),
  digest: Digest,
  code: Type.String({ pattern: '^[a-z][a-z0-9_]{0,63}$' }),
});
export type Rejection = Static<typeof Rejection>;

/** The only thing that says a report is recorded. Sent to reports that ask, and to rejected ones. */
export const Answer = Type.Object({
  v: Type.Integer(),
  device: DeviceId,
  /** Incarnation and start of the report that is answered; null when it could not be read that far. */
  incarnation: Type.Union([Type.Null(), Incarnation]),
  start: Type.Union([Type.Null(), Count]),
  /** Which report is answered: the digest of its signing input, and its nonce. */
  digest: Digest,
  nonce: Type.Optional(Nonce),
  /** Every sequence of this start that is recorded. */
  recorded: Type.Array(SequenceRange, { maxItems: 1024 }),
  rejected: Type.Array(Rejection, { maxItems: 64 }),
  /** When the cloud received that report, and when it sent this. */
  receivedAt: Instant,
  sentAt: Instant,
  /** After this the device must not act on it. */
  expiresAt: Instant,
  desired: DesiredVersion,
  /** At most so many reports a second may be sent again, until another answer says otherwise; absent means 20. */
  resendPerSecond: Type.Optional(Type.Number({ minimum: 0.1, maximum: 1000 })),
  /** The newest version of the list of keys: a device that has an older one walks to it. */
  keyList: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
  /** What else the cloud wants to be sent. */
  wants: Type.Array(Type.Literal('inventory')),
  /** Of the crash reports that the report named, those that the cloud has: the device need not keep them. */
  crashes: Type.Optional(Type.Array(CrashId, { maxItems: MAX_CRASHES })),
});
export type Answer = Static<typeof Answer>;

/** @throws Refusal `version_unsupported` or `payload_invalid` */
export const parseAnswer = parserOf(Answer);
