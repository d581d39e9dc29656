import { findChips, namesGpio } from './acting.ts';
import type { AgentConfig } from './config.ts';
import type { Finding } from './finding.ts';
import type { ChipFacts, LineFacts } from './ports-gpio.ts';

/** Where the configuration has one of its lines. */
interface Wanted {
  readonly user: string;
  readonly chip: string;
  readonly line: number | string;
}

/** Who has each line that the configuration names: asked without touching any, so also while an agent runs. */
export async function checkGpio(config: AgentConfig): Promise<Finding[]> {
  if (!namesGpio(config)) return [];
  const chips = await findChips();
  return [judgeChips(chips), ...linesOf(config).flatMap((wanted) => judgeLine(wanted, chips))];
}

export function judgeChips(chips: readonly ChipFacts[]): Finding {
  const check = 'GPIO chips';
  const listed = chips.map(({ path, label, lines }) => `${path} (${label}, ${lines.length} lines)`).join(', ');
  if (listed !== '') return { check, status: 'ok', message: listed };
  const message = 'None is there that may be opened: is its driver loaded, and is the user in the group of the device?';
  return { check, status: 'fail', code: 'gpio_chip_missing', message };
}

/** @returns nothing where the chip itself is not there, which is told already */
export function judgeLine({ user, chip: called, line }: Wanted, chips: readonly ChipFacts[]): Finding[] {
  const check = `GPIO line ${line} of ${user}`;
  const chip = chips.find(({ path, name, label }) => [path, name, label].includes(called));
  if (chip === undefined) return [];
  const found = chip.lines.find((facts) => facts.line === line || facts.name === line);
  if (found === undefined) {
    const message = `${chip.path} has no such line: "paddock-agent gpio" lists them`;
    return [{ check, status: 'fail', code: 'gpio_line_missing', message }];
  }
  return [held(check, user, found)];
}

function held(check: string, wantedBy: string, { line, name, user }: LineFacts): Finding {
  const called = `line ${line}${name === null ? '' : ` (${name})`}`;
  if (user === null) return { check, status: 'ok', message: `Nobody has ${called}` };
  // As much of it as the kernel keeps.
  if (user === `paddock:${wantedBy}`.slice(0, 31)) return { check, status: 'ok', message: `The agent has ${called}` };
  return {
    check,
    status: 'fail',
    code: 'gpio_line_busy',
    message: `${user} has ${called}: one of the two has to leave it`,
  };
}

const linesOf = ({ ports, sensors, outputs }: AgentConfig): Wanted[] => {
  const chipOf = (port: string): string => {
    const found = ports[port];
    return found?.kind === 'gpio' ? found.chip : '';
  };
  return [
    ...Object.entries(sensors).flatMap(([user, { source }]) =>
      source.kind === 'gpio' ? [{ user, chip: chipOf(source.port), line: source.line }] : [],
    ),
    ...Object.entries(outputs).flatMap(([user, { target }]) =>
      target.kind === 'gpio' ? [{ user, chip: chipOf(target.port), line: target.line }] : [],
    ),
  ];
};
