import { ConfigError } from '@paddock/agent/config.ts';
import { describe, expect, it } from 'vitest';
import { configOf } from '../../harness/agent/sense.ts';

const WHOLE = `
ports:
  pins: { kind: gpio, chip: panel }
  line: { kind: serial-lines, path: /dev/x, format: json }
sensors:
  door: { kind: binary, source: { port: pins, line: DOOR } }
  water: { kind: number, source: { port: pins, line: 4, edge: both } }
outputs:
  lock: { kind: binary, safe: true, target: { port: pins, line: 6 } }
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

describe('GPIO in the configuration', () => {
  it('has every default', () => {
    const { ports, sensors, outputs } = configOf(WHOLE);
    expect(ports.pins).toEqual({ kind: 'gpio', chip: 'panel', pollMs: 1000 });
    expect(sensors.door?.source).toMatchObject({ activeLow: false, bias: 'as-is', debounceUs: 0, line: 'DOOR' });
    const target = { kind: 'gpio', port: 'pins', line: 6, activeLow: false, bias: 'as-is', drive: 'push-pull' };
    expect(outputs.lock).toEqual({ kind: 'binary', safe: true, whenAway: 'hold', target });
  });

  it.each([
    ['line: DOOR', 'line: 4', 'config_invalid sensors.water.source.line is the line of sensor door already'],
    ['line: 6', 'line: DOOR', 'config_invalid outputs.lock.target.line is the line of sensor door already'],
    ['line: 6', 'line: -1', 'config_invalid outputs.lock.target.line must be the number of a line on its chip'],
    ['outputs:', 'outputs:\n  two: { kind: binary, safe: false, target: { port: pins, line: 6 } }', 'of output two'],
    ['  line: {', '  more: { kind: gpio, chip: panel }\n  line: {', 'ports.more.chip is the device of port pins'],
    ['kind: binary, source', 'kind: text, source', 'config_invalid sensors.door is on a GPIO port'],
    ['line: DOOR', 'line: DOOR, edge: both', 'sensors.door.source.edge is for numbers, which count edges'],
    ['line: DOOR', 'line: DOOR, bias: up', 'sensors.door.source.bias must be one of as-is, off, pull-up'],
    ['safe: true, ', '', 'config_invalid outputs.lock.safe is missing'],
    ['target: { port: pins', 'target: { port: line', 'outputs.lock.target.send is missing'],
    ['target: { port: pins', 'target: { port: pin', 'names no port: pin (did you mean pins?)'],
    [', target: { port: pins, line: 6 }', '', 'config_invalid outputs.lock.target is missing'],
    ['line: 6', 'line: 6, drives: x', 'config_unknown_key outputs.lock.target.drives'],
  ])('names what is wrong: %s -> %s', (from, to, expected) => {
    expect(mistakes(from, to).join('\n')).toContain(expected);
  });
});
