import { NAME_PATTERN } from '@paddock/shared/names.ts';
import type { Static, TSchema } from 'typebox';
import * as Type from 'typebox';
import { Check, Errors } from 'typebox/value';
import { LocalError } from './problem.ts';

const closed = { additionalProperties: false };
const Seconds = (maximum: number) => Type.Number({ minimum: 1, maximum });

/** Something that happened at the kiosk. */
export const EventBody = Type.Object(
  {
    name: Type.String({ pattern: NAME_PATTERN }),
    data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  closed,
);
export type EventBody = Static<typeof EventBody>;

/** How an application is, and how long that holds when it says nothing more. */
export const HealthBody = Type.Object(
  {
    status: Type.Enum(['good', 'bad']),
    /** For people. */
    detail: Type.Optional(Type.String({ maxLength: 256 })),
    withinSeconds: Seconds(3600),
  },
  closed,
);
export type HealthBody = Static<typeof HealthBody>;

/** Whose it is stands in the address; whether its time and words will do, the lock says. */
export const LockBody = Type.Object({ reason: Type.String(), seconds: Type.Number() }, closed);

/** The one parser of a body. @throws LocalError `body_malformed`, `request_invalid` */
export function parseBody<S extends TSchema>(schema: S, text: string): Static<S> {
  const value = parseJson(text);
  if (Check(schema, value)) return value;
  const [first] = Errors(schema, value);
  throw new LocalError('request_invalid', first && `${first.instancePath || '/'} ${first.message}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new LocalError('body_malformed');
  }
}

/** How deep data may nest: a report that nests deeper than the wire allows would be refused for good. */
const MOST_DEPTH = 16;

export const isTooDeep = (value: unknown, depth = 0): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (depth >= MOST_DEPTH || Object.values(value).some((inner) => isTooDeep(inner, depth + 1)));
