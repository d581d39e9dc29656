import type { CommandTarget, OutputConfig, OutputValue, RegisterTarget } from './settings.ts';

const TEXT_CHARS = 64;

/** Whether an output takes this value at all. */
export function takes(config: OutputConfig, value: unknown): value is OutputValue {
  switch (config.kind) {
    case 'binary':
      return typeof value === 'boolean';
    case 'number':
      return typeof value === 'number' && value >= config.range[0] && value <= config.range[1];
    case 'text':
      // A line ends where a command ends.
      return typeof value === 'string' && value.length <= TEXT_CHARS && !/\p{Cc}/u.test(value);
    case 'enum':
      return typeof value === 'string' && config.values.includes(value);
  }
}

/** What a value is called on a line. */
export const lineWord = ({ words }: Pick<CommandTarget, 'words'>, value: OutputValue): string =>
  (words !== undefined && Object.hasOwn(words, String(value)) ? words[String(value)] : undefined) ?? String(value);

/** The value that a line calls so; null when it is none. */
export function valueOfWord(
  config: OutputConfig,
  target: Pick<CommandTarget, 'words'>,
  word: string,
): OutputValue | null {
  const named = candidatesOf(config).find((value) => lineWord(target, value) === word);
  if (named !== undefined) return named;
  const value = config.kind === 'number' && word.trim() !== '' ? Number(word) : config.kind === 'text' ? word : null;
  return typeof value === 'number' && !Number.isFinite(value) ? null : value;
}

const candidatesOf = (config: OutputConfig): readonly OutputValue[] =>
  config.kind === 'binary' ? [true, false] : config.kind === 'enum' ? config.values : [];

/** Lowest and highest of 16 bits. */
export const REGISTER_RANGES = { uint16: [0, 65_535], int16: [-32_768, 32_767] } as const satisfies Record<
  RegisterTarget['type'],
  readonly [number, number]
>;

/** What a register, or a coil, holds of a value. */
export const registerWord = ({ scale }: Pick<RegisterTarget, 'scale'>, value: OutputValue): number =>
  typeof value === 'number' ? Math.round(value / scale) & 0xffff : Number(value === true);

/** What a register, or a coil, holds, as a value: as it was wanted where it is that. */
export function valueOfRegister(
  config: OutputConfig,
  { type, scale }: Pick<RegisterTarget, 'type' | 'scale'>,
  word: number,
): OutputValue {
  if (config.kind === 'binary') return word !== 0;
  const signed = type === 'int16' && word > 0x7fff ? word - 0x1_0000 : word;
  return Number((signed * scale).toPrecision(12));
}
