import type { Static } from 'typebox';
import * as Type from 'typebox';
import { DeviceId, Nonce, parserOf } from './message.ts';

/** Whether a connection stands: a hint, never evidence. Only the will of the same connection ends it. */
export const Presence = Type.Object({
  v: Type.Integer(),
  device: DeviceId,
  connection: Nonce,
  status: Type.Union([Type.Literal('online'), Type.Literal('offline')]),
});
export type Presence = Static<typeof Presence>;

/** @throws Refusal `version_unsupported` or `payload_invalid` */
export const parsePresence = parserOf(Presence);
