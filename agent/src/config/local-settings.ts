import { NAME_PATTERN } from '@paddock/shared/names.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { readingName } from '../local/reading-name.ts';
import { largestReadingBytes, MAX_READINGS_BYTES } from '../sense/reading-size.ts';
import type { SensorConfig } from '../sense/settings.ts';
import { invalid, type Problem } from './problems.ts';

/** So many programs of a kiosk may say how they are: each takes room in every report. */
const MAX_APPLICATIONS = 8;

/** The interface for the kiosk's own software. An agent without this section has none. */
export const LocalSchema = Type.Object(
  {
    /** Relative to the configuration file; its directory is made where it is missing. */
    socket: Type.String({ minLength: 1, default: './run/agent.sock' }),
    /** Who may connect beside the agent's user: a group of the machine, by name or number. Absent: the agent's own. */
    group: Type.Optional(
      Type.String({ pattern: '^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,9})$', expects: 'must be a group, by name or number' }),
    ),
    /** Of the socket: the agent's user alone, the group too, or everybody on the machine. */
    mode: Type.Enum(['0600', '0660', '0666'], {
      default: '0660',
      expects: "must be '0600', '0660' or '0666', in quotes: YAML would read another number",
    }),
    /** Those that have to say how they are; each is a reading `application.NAME`. */
    applications: Type.Array(
      Type.String({
        pattern: NAME_PATTERN.replace('{0,63}', '{0,31}'),
        expects: 'must be up to 32 of a-z, 0-9, ".", "_" and "-"',
      }),
      { maxItems: MAX_APPLICATIONS, uniqueItems: true, default: [] },
    ),
  },
  { additionalProperties: false },
);

/** Of an application in a report, besides its name. */
const READING_BYTES = 160;

/** Applications are readings beside those of the sensors, and all of them have to fit one report. */
export function localProblems(
  local: Static<typeof LocalSchema> | undefined,
  sensors: Readonly<Record<string, SensorConfig>>,
): Problem[] {
  const names = (local?.applications ?? []).map(readingName);
  const path = ['local', 'applications'];
  const taken = names.filter((name) => Object.hasOwn(sensors, name));
  const bytes = Object.entries(sensors).reduce((sum, [name, sensor]) => sum + largestReadingBytes(name, sensor), 0);
  const own = names.reduce((sum, name) => sum + name.length + READING_BYTES, 0);
  return [
    ...taken.map((name) => invalid(path, `has an application whose reading is a sensor already: ${name}`)),
    ...(own > 0 && bytes + own > MAX_READINGS_BYTES
      ? [invalid(path, 'leaves no room for all sensors in a report')]
      : []),
  ];
}
