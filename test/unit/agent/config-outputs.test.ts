import { ConfigError } from '@paddock/agent/config.ts';
import { describe, expect, it } from 'vitest';
import { configOf } from '../../harness/agent/sense.ts';

const WHOLE = `
ports:
  line: { kind: serial-lines, path: /dev/x }
  bus: { kind: modbus-rtu, path: /dev/y }
  bench: { kind: simulated }
sensors:
  mains: { kind: number, source: { port: bus, unit: 1, table: holding, address: 3 } }
outputs:
  mode: { kind: enum, values: [eco, full], safe: eco, target: { port: line, send: "MODE {value}\\n", ask: "MODE?\\n", told: '^MODE (?<value>.*)$' } }
  fan: { kind: number, range: [-10, 10], target: { port: bus, unit: 1, table: holding, address: 3, type: int16, scale: 0.1 } }
  pump: { kind: binary, safe: false, whenAway: revert, awaySeconds: 600, target: { port: bus, unit: 1, table: coil, address: 3 } }
`;

function mistakes(from: string, to: string): string[] {
  expect(WHOLE).toContain(from);
  try {
    configOf(WHOLE.replace(from, to));
    return [];
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    return cause.problems.map(({ code, path, message }) => `${code} ${path.join('.')} ${message}`);
  }
}

describe('outputs in the configuration', () => {
  it('have every default, and a port that only they use needs no format', () => {
    const { outputs } = configOf(WHOLE);
    expect(outputs.mode).toMatchObject({
      whenAway: 'hold',
      target: { kind: 'serial-lines', encoding: 'utf8', timeoutMs: 1000, retries: 2, checkMs: 10_000 },
    });
    expect(outputs.fan?.target).toMatchObject({ kind: 'modbus-rtu', readBack: true, retries: 2 });
    expect(outputs.pump).toMatchObject({ whenAway: 'revert', awaySeconds: 600 });
  });

  it('may have one command with words of their own', () => {
    const lamp = (name: string): string =>
      `  ${name}: { kind: binary, target: { port: line, send: "{value}\\n", words: { true: ${name} on, false: ${name} off } } }\n`;
    const { outputs } = configOf(`${WHOLE}${lamp('red')}${lamp('green')}`);
    expect(Object.keys(outputs)).toEqual(['mode', 'fan', 'pump', 'red', 'green']);
  });

  it.each([
    ['kind: enum', 'kind: lamp', 'outputs.mode.kind names no kind of output on such a port: lamp'],
    ['kind: number, range', 'kind: text, range', 'outputs.fan.kind names no kind of output on such a port: text'],
    [
      'port: line, send',
      'port: bench, send',
      'outputs.mode.target.port is a port of kind simulated, which drives nothing',
    ],
    ['safe: eco', 'safe: warm', 'outputs.mode.safe is not a value that the output takes'],
    ['range: [-10, 10]', 'range: [10, -10]', 'outputs.fan.range must be [lowest, highest], the lower one first'],
    ['range: [-10, 10]', 'range: [-10, 4000]', 'outputs.fan.target.type int16 does not hold the whole range'],
    ['range: [-10, 10]', 'range: [-10, 10], safe: 11', 'outputs.fan.safe is not a value'],
    ['range: [-10, 10], ', '', 'outputs.fan.range is missing'],
    ['table: holding, address: 3, type', 'table: coil, address: 4, type', 'outputs.fan.target.table must be holding'],
    ['awaySeconds: 600, ', '', 'outputs.pump.awaySeconds is missing: whenAway is revert'],
    ['whenAway: revert, ', '', 'outputs.pump.awaySeconds is for whenAway revert and lease'],
    ['safe: false, whenAway', 'whenAway', 'outputs.pump.safe is missing: whenAway is revert'],
    ['MODE {value}', 'MODE eco', 'outputs.mode.target.send must say where the value goes: {value}'],
    ['ask: "MODE?\\n", ', '', 'outputs.mode.target needs both of ask and told'],
    ['(?<value>.*)', '(.*)', 'outputs.mode.target.told needs a group of the name value'],
    ['(?<value>.*)', '(?<value>.*', 'config_invalid outputs.mode.target.told'],
    ['send:', 'answer: OK, answerPattern: "^OK", send:', 'answerPattern is there besides answer'],
    ['table: coil, address: 3', 'table: holding, address: 3', 'outputs.pump.target.address is that of output fan'],
    [
      '  fan: {',
      '  other: { kind: text, target: { port: line, send: "MODE {value}\\n" } }\n  fan: {',
      'config_invalid outputs.other.target.send is that of output mode',
    ],
    ['  mains:', '  output.fan:', 'config_invalid sensors.output.fan is the reading of output fan'],
    ['port: bus, unit: 1, table: holding, address: 3 }', 'port: line, field: x }', 'ports.line needs either format'],
    ['  fan: {', `  ${'f'.repeat(60)}: {`, 'is too long: its reading is called output.f'],
  ])('name what is wrong: %s -> %s', (from, to, expected) => {
    expect(mistakes(from, to).join('\n')).toContain(expected);
  });
});
