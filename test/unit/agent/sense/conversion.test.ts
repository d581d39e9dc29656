import type { RawValue } from '@paddock/agent/ports.ts';
import { convert } from '@paddock/agent/sense/conversion.ts';
import { describe, expect, it } from 'vitest';
import { configOf, sensorOf } from '../../../harness/agent/sense.ts';

/** What becomes of a raw value: the value, or the fault. */
const become = (settings: string, raw: RawValue) => {
  const converted = convert(sensorOf(settings), raw);
  return 'fault' in converted ? converted.fault : converted.value;
};
/** The same for a sensor whose source says more than its port and field. */
const becomeFrom = (kind: string, source: string, raw: RawValue) => {
  const { sensors } = configOf(
    `ports: { bench: { kind: serial-lines, path: /dev/x, format: json } }\nsensors: { one: { ${kind}, source: { port: bench, field: x, ${source} } } }`,
  );
  const converted = sensors.one && convert(sensors.one, raw);
  return converted && 'value' in converted ? converted.value : converted?.fault;
};

describe('conversion', () => {
  it('takes the usual words for true and false, and no others', () => {
    expect([true, 1, '1', 'true', 'on'].map((raw) => become('kind: binary', raw))).toEqual(Array(5).fill(true));
    expect([false, 0, '0', 'false', 'off'].map((raw) => become('kind: binary', raw))).toEqual(Array(5).fill(false));
    expect(become('kind: binary', 'maybe')).toBe('malformed');
    expect(become('kind: binary', 2)).toBe('malformed');
  });

  it('takes the words that the configuration gives', () => {
    expect(becomeFrom('kind: binary', 'on: open', 'open')).toBe(true);
    expect(becomeFrom('kind: binary', 'on: open', 'anything')).toBe(false);
    expect(becomeFrom('kind: binary', 'on: [open, ajar], off: closed', 'ajar')).toBe(true);
    expect(becomeFrom('kind: binary', 'on: open, off: closed', 'clos')).toBe('malformed');
    expect(becomeFrom('kind: binary', 'on: 0', 0)).toBe(true);
    expect(becomeFrom('kind: binary', 'off: 3', 'on')).toBe(true);
  });

  it('reads numbers and only whole ones', () => {
    expect([1.5, '1.5', ' -2e3 ', '.5', '+7'].map((raw) => become('kind: number', raw))).toEqual([
      1.5, 1.5, -2000, 0.5, 7,
    ]);
    for (const raw of ['', ' ', '1,5', '0x10', '1.2.3', 'NaN', '1e999', true]) {
      expect(become('kind: number', raw)).toBe('malformed');
    }
  });

  it('scales without leaving a trail of digits', () => {
    expect(becomeFrom('kind: number', 'scale: 0.1', 3)).toBe(0.3);
    expect(becomeFrom('kind: number', 'scale: 0.001, offset: -40', 7200)).toBe(-32.8);
  });

  it('refuses what lies outside the range', () => {
    expect([-0.1, 0, 22, 22.1].map((raw) => become('kind: number, range: [0, 22]', raw))).toEqual([
      'out-of-range',
      0,
      22,
      'out-of-range',
    ]);
  });

  it('takes the names of an enum, mapped or not, and no others', () => {
    const kind = 'kind: enum, values: [idle, busy]';
    expect(becomeFrom(kind, 'map: { 0: idle, 7: busy }', 7)).toBe('busy');
    expect(becomeFrom(kind, 'map: { 0: idle }', 'busy')).toBe('busy');
    expect(becomeFrom(kind, 'map: { 0: idle }', 5)).toBe('malformed');
    expect(become(kind, 'constructor')).toBe('malformed');
  });

  it('bounds texts', () => {
    expect(become('kind: text', 'ok')).toBe('ok');
    expect(become('kind: text', 'x'.repeat(256))).toBe('x'.repeat(256));
    expect(become('kind: text', 'x'.repeat(257))).toBe('malformed');
    expect(become('kind: text', '€'.repeat(85))).toBe('€'.repeat(85));
    expect(become('kind: text', '€'.repeat(86))).toBe('malformed');
    expect(become('kind: text', '"'.repeat(129))).toBe('malformed');
  });
});
