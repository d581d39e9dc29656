import { outputReading } from '../act/output-readings.ts';
import { REGISTER_RANGES, takes } from '../act/values.ts';
import type { ActConfig, CommandTarget, OutputConfig, RegisterTarget } from '../act/settings.ts';
import { groupsOf } from '../sense/line-format.ts';
import type { SenseConfig } from '../sense/settings.ts';
import { invalid, type Path, type Problem } from './problems.ts';

const MAX_OUTPUTS = 32;
const LONGEST_NAME = 64;
const PLACE = '{value}';

/** What a schema cannot say of outputs: rules between two keys, and between two outputs. */
export function outputProblems({ outputs }: ActConfig, sensors: SenseConfig['sensors']): Problem[] {
  const entries = Object.entries(outputs);
  if (entries.length > MAX_OUTPUTS) return [invalid(['outputs'], `must be at most ${MAX_OUTPUTS}`)];
  return [
    ...entries.flatMap(([name, output]) => [
      ...nameProblems(name, sensors),
      ...valueProblems(output, ['outputs', name]),
      ...awayProblems(output, ['outputs', name]),
      ...targetProblems(output, ['outputs', name, 'target']),
    ]),
    ...sharedTargetProblems(entries),
  ];
}

function nameProblems(name: string, sensors: SenseConfig['sensors']): Problem[] {
  const reading = outputReading(name);
  if (reading.length > LONGEST_NAME)
    return [invalid(['outputs', name], `is too long: its reading is called ${reading}`)];
  return Object.hasOwn(sensors, reading) ? [invalid(['sensors', reading], `is the reading of output ${name}`)] : [];
}

function valueProblems(output: OutputConfig, path: Path): Problem[] {
  if (output.kind === 'number' && output.range[0] >= output.range[1])
    return [invalid([...path, 'range'], 'must be [lowest, highest], the lower one first')];
  return output.safe === undefined || takes(output, output.safe)
    ? []
    : [invalid([...path, 'safe'], 'is not a value that the output takes')];
}

function awayProblems({ whenAway, awaySeconds, safe }: OutputConfig, path: Path): Problem[] {
  if (whenAway === 'hold')
    return awaySeconds === undefined ? [] : [invalid([...path, 'awaySeconds'], 'is for whenAway revert and lease')];
  return [
    ...(awaySeconds === undefined ? [invalid([...path, 'awaySeconds'], `is missing: whenAway is ${whenAway}`)] : []),
    ...(safe === undefined ? [invalid([...path, 'safe'], `is missing: whenAway is ${whenAway}`)] : []),
  ];
}

function targetProblems(output: OutputConfig, path: Path): Problem[] {
  const { target } = output;
  if (target.kind === 'serial-lines') return commandProblems(target, path);
  return target.kind === 'modbus-rtu' ? registerProblems(output, target, path) : [];
}

function commandProblems(target: CommandTarget, path: Path): Problem[] {
  const { send, answer, answerPattern, ask, told } = target;
  const problems: Problem[] = [];
  if (!send.includes(PLACE)) problems.push(invalid([...path, 'send'], `must say where the value goes: ${PLACE}`));
  if (answer !== undefined && answerPattern !== undefined)
    problems.push(invalid([...path, 'answerPattern'], 'is there besides answer: one of both'));
  if ((ask === undefined) !== (told === undefined))
    problems.push(invalid(path, 'needs both of ask and told, or none of them'));
  if (told !== undefined && !groupsOf(told).includes('value'))
    problems.push(invalid([...path, 'told'], 'needs a group of the name value'));
  return problems;
}

function registerProblems(output: OutputConfig, { table, type, scale }: RegisterTarget, path: Path): Problem[] {
  if (output.kind !== 'number') return [];
  if (table === 'coil') return [invalid([...path, 'table'], 'must be holding: a coil holds no number')];
  const [lowest, highest] = REGISTER_RANGES[type];
  const fits = output.range.every((end) => Math.round(end / scale) >= lowest && Math.round(end / scale) <= highest);
  return fits ? [] : [invalid([...path, 'type'], `${type} does not hold the whole range`)];
}

/** Two owners of one register, or of one command, would undo each other for ever. */
function sharedTargetProblems(entries: readonly (readonly [string, OutputConfig])[]): Problem[] {
  const owner = new Map<string, string>();
  return entries.flatMap(([name, { target }]) => {
    const place = placeOf(target);
    if (place === null) return [];
    const other = owner.get(place.key);
    if (other === undefined) owner.set(place.key, name);
    return other === undefined ? [] : [invalid(['outputs', name, 'target', place.at], `is that of output ${other}`)];
  });
}

/** What nobody else may set, and where a target says so; null for a line of GPIO, which sensors take, too. */
function placeOf(target: OutputConfig['target']): { readonly key: string; readonly at: string } | null {
  if (target.kind === 'gpio') return null;
  const { port } = target;
  if (target.kind === 'modbus-rtu')
    return { key: JSON.stringify([port, target.unit, target.table, target.address]), at: 'address' };
  const words = Object.entries(target.words ?? {}).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return { key: JSON.stringify([port, target.send, words]), at: 'send' };
}
