import { BusError, type SharedBus, type SharedLine } from '../ports.ts';
import { compilePattern } from '../sense/line-format.ts';
import type { CommandTarget, OutputConfig, OutputValue, RegisterTarget } from './settings.ts';
import { lineWord, registerWord, valueOfRegister, valueOfWord } from './values.ts';

/** How hardware is told what to be, and asked what it is. @throws BusError */
export interface Actuator {
  life(): number;
  /** @returns what is so now: read back where that can be, else what was said to be done */
  set(value: OutputValue): Promise<OutputValue>;
  /** Null where it cannot be asked. */
  readonly look: (() => Promise<OutputValue>) | null;
}

/** A command on a line of text. */
export function commandActuator(config: OutputConfig, target: CommandTarget, line: SharedLine): Actuator {
  const { send, encoding, answer, answerPattern, refusal, ask, told, timeoutMs } = target;
  const bytes = (text: string): Uint8Array => Buffer.from(text, encoding);
  const refuses = refusal === undefined ? null : compilePattern(refusal);
  const judged = (fits: (said: string) => boolean) => (said: string) =>
    refuses?.test(said) ? 'refusal' : fits(said) ? 'answer' : null;
  const look = ask === undefined || told === undefined ? null : lookBy(compilePattern(told));
  function lookBy(pattern: RegExp) {
    return async (): Promise<OutputValue> => {
      const judge = judged((said) => pattern.test(said));
      const said = await line.ask({ bytes: bytes(ask ?? ''), judge, timeoutMs });
      const value = valueOfWord(config, target, pattern.exec(said)?.groups?.['value'] ?? '');
      if (value === null) throw new BusError('malformed', `it said ${JSON.stringify(said.slice(0, 80))}`);
      return value;
    };
  }
  return {
    life: () => line.life(),
    look,
    async set(value) {
      const word = lineWord(target, value);
      const fits = answerTo({ answer, answerPattern }, word);
      const judge = fits === null ? {} : { judge: judged(fits) };
      await line.ask({ bytes: bytes(withValue(send, word)), ...judge, timeoutMs });
      return look === null ? value : look();
    },
  };
}

/** Not as a replacement pattern: a word may hold a dollar. */
const withValue = (template: string, word: string): string => template.replaceAll('{value}', () => word);

function answerTo(
  { answer, answerPattern }: Pick<CommandTarget, 'answer' | 'answerPattern'>,
  word: string,
): ((said: string) => boolean) | null {
  if (answer !== undefined) return (said) => said === withValue(answer, word);
  if (answerPattern === undefined) return null;
  const pattern = compilePattern(answerPattern);
  return (said) => pattern.test(said);
}

/** A coil or a holding register. */
export function registerActuator(config: OutputConfig, target: RegisterTarget, bus: SharedBus): Actuator {
  const { unit, table, address, readBack } = target;
  const look = (): Promise<OutputValue> =>
    bus.use(async (used) => {
      const [word] = await used.read({ unit, table, address, count: 1 });
      if (word === undefined) throw new BusError('malformed', 'the answer holds nothing');
      return valueOfRegister(config, target, word);
    });
  return {
    life: () => bus.life(),
    look: readBack ? look : null,
    async set(value) {
      const word = registerWord(target, value);
      await bus.use((used) => used.write({ unit, table, address, word }));
      // As it fits a register: the next look must not find another one.
      return readBack ? look() : valueOfRegister(config, target, word);
    },
  };
}
