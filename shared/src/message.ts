import type { TSchema, Static } from 'typebox';
import * as Type from 'typebox';
import { Compile, type Validator } from 'typebox/schema';
import { Refusal } from './errors.ts';
import { INSTANT_PATTERN } from './time.ts';
import { DEVICE_ID_PATTERN } from './topics.ts';

/** The version of the payload's schema that this code writes. The cloud takes it and the one before. */
export const PAYLOAD_VERSION = 1;
const OLDEST_VERSION = 1;

export const DeviceId = Type.String({ pattern: DEVICE_ID_PATTERN });
/** Random, made with the state file and lost with it: 8 bytes in base64url. */
export const Incarnation = Type.String({ pattern: '^[A-Za-z0-9_-]{11}$' });
export const Instant = Type.String({ pattern: INSTANT_PATTERN });
/** SHA-256 in base64url. */
export const Digest = Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' });
/** A counter or a span that fits a JavaScript number and a PostgreSQL bigint. */
export const Count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** Bound to one request, so that no answer to another can pass for it: 8 random bytes or more. */
export const Nonce = Type.String({ pattern: '^[A-Za-z0-9_-]{11,43}$' });
/** What desired state a message speaks of: a new epoch is opened after a restore, versions grow within it. */
export const DesiredVersion = Type.Object({ epoch: Count, version: Count });

/**
 * Makes the one parser of a message kind: `unknown` in, a narrowed value out. Unknown fields are kept.
 * Version first, so that a message of the future is called just that.
 */
export function parserOf<S extends TSchema>(schema: S): (payload: unknown) => Static<S> {
  // Compiled when the first message comes: a program pays only for the kinds that it hears.
  let compiled: Validator<S> | null = null;
  return (payload) => {
    checkVersion(payload);
    const validator = (compiled ??= Compile(schema));
    if (validator.Check(payload)) return payload;
    const [, [first]] = validator.Errors(payload);
    throw new Refusal('payload_invalid', first ? `${first.instancePath || '/'} ${first.message}` : undefined);
  };
}

function checkVersion(payload: unknown): void {
  const v = typeof payload === 'object' && payload !== null && 'v' in payload ? payload.v : undefined;
  if (typeof v !== 'number' || !Number.isInteger(v))
    throw new Refusal('payload_invalid', '/v must be a version number');
  if (v < OLDEST_VERSION || v > PAYLOAD_VERSION) throw new Refusal('version_unsupported', `v ${v}`);
}
