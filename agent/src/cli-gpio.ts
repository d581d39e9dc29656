import { findChips, makeOutputsSafe } from './acting.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import type { AgentConfig } from './config.ts';
import type { ChipFacts, LineFacts } from './ports-gpio.ts';

/** What a command found: for machines, and for people. */
export interface Shown {
  readonly value: object;
  readonly lines: readonly string[];
  readonly ok: boolean;
}

/** Every GPIO chip of the machine with its lines, and who has them. */
export async function showChips(): Promise<Shown> {
  const chips = await findChips();
  const lines = chips.length === 0 ? ['No GPIO chip is there that may be opened.'] : chips.flatMap(chipLines);
  return { value: { chips }, lines, ok: true };
}

const chipLines = ({ path, label, lines }: ChipFacts): string[] => [
  `${path}  ${label}  ${lines.length} lines`,
  ...lines.map(lineText),
];

function lineText({ line, name, user, direction, activeLow }: LineFacts): string {
  const said = [direction, activeLow ? 'active-low' : null, user === null ? null : `held by ${user}`];
  return `  ${String(line).padStart(3)}  ${(name ?? '-').padEnd(24)} ${said.filter((one) => one !== null).join(', ')}`;
}

/** Makes the outputs safe that the agent does not hold any more. */
export async function safeOutputs(config: AgentConfig): Promise<Shown> {
  const outputs = await makeOutputsSafe(config, createSystemClock());
  const lines = outputs.map(({ output, safe, fault }) =>
    fault === null
      ? `${output} is ${safe}, as is safe`
      : `${output} could not be made ${safe}: ${fault.message} (${fault.code})`,
  );
  return {
    value: { outputs },
    lines: lines.length === 0 ? ['No outputs are configured.'] : lines,
    ok: outputs.every(({ fault }) => fault === null),
  };
}
