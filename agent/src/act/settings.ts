import type { Static, TProperties } from 'typebox';
import * as Type from 'typebox';
import { GPIO_LINE } from '../sense/settings.ts';

/** What `outputs` of the configuration may hold, with every default: the one table. */
const strict = { additionalProperties: false };

/** Where on a port an output is, by the port's kind. */
const TARGETS = {
  gpio: {
    ...GPIO_LINE,
    drive: Type.Enum(['push-pull', 'open-drain', 'open-source'], { default: 'push-pull' }),
  },
} as const satisfies Record<string, TProperties>;

export type OutputPortKind = keyof typeof TARGETS;
export const isOutputPort = (kind: string): kind is OutputPortKind => Object.hasOwn(TARGETS, kind);

/** The schema of an output on a port of that kind. */
export const outputSchema = (port: OutputPortKind) =>
  Type.Object(
    {
      kind: Type.Literal('binary', { expects: 'must be binary' }),
      /** What it is when the agent starts, when it ends, and whenever nobody is there to say something else. */
      safe: Type.Boolean(),
      target: Type.Object({ port: Type.String(), ...TARGETS[port] }, strict),
    },
    strict,
  );
export type OutputConfig = Static<ReturnType<typeof outputSchema>>;

/** What the acting part needs of the configuration. */
export interface ActConfig {
  readonly outputs: Readonly<Record<string, OutputConfig>>;
}
