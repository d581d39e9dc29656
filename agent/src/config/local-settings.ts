import { NAME_PATTERN } from '@paddock/shared/report.ts';
import * as Type from 'typebox';

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
    mode: Type.Enum(['0600', '0660', '0666'], { default: '0660' }),
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
