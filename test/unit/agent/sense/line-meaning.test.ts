import { createLineReader, type LineRules } from '@paddock/agent/sense/line-meaning.ts';
import type { LineSource } from '@paddock/agent/sense/settings.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const rules = (
  config: Partial<LineRules['config']>,
  fields: string[],
  events: Record<string, { field?: string; equals?: string; pattern?: string }> = {},
): LineRules => ({
  config: { ignore: [], ...config },
  sensors: new Map(fields.map((field): [string, LineSource] => [field, { kind: 'serial-lines', port: 'p', field }])),
  events: new Map(Object.entries(events).map(([name, source]) => [name, { source: { port: 'p', ...source } }])),
});
const json = createLineReader(
  rules({ format: 'json', ignore: ['^#'] }, ['door', 'meter.power'], { swipe: { field: 'event', equals: 'swipe' } }),
);
const text = createLineReader(
  rules({ patterns: ['^DOOR=(?<door>open|closed)$', '^T=(?<temp>\\S+)( H=(?<hum>\\S+))?$'] }, ['door', 'temp', 'hum'], {
    card: { pattern: '^CARD (?<card>[0-9A-F]+)$' },
    opened: { field: 'door', equals: 'open' },
  }),
);
const NOTHING = { samples: [], malformed: [], events: [] };

describe('a line of JSON', () => {
  it('brings the fields that sensors want, nested ones too', () => {
    expect(json('{"door":"open","meter":{"power":7.2},"other":1}')).toEqual({
      ...NOTHING,
      samples: [
        { sensor: 'door', value: 'open' },
        { sensor: 'meter.power', value: 7.2 },
      ],
    });
  });
  it('leaves alone the sensors that it does not speak of', () => {
    expect(json('{"other":1}')).toEqual(NOTHING);
  });
  it('is malformed for the sensor whose field is no value', () => {
    expect(json('{"door":null,"meter":{"power":[1]}}')).toEqual({ ...NOTHING, malformed: ['door', 'meter.power'] });
  });
  it('tells an event with the other fields as its data', () => {
    expect(json('{"event":"swipe","card":"04A1"}')).toEqual({
      ...NOTHING,
      events: [{ name: 'swipe', data: { card: '04A1' } }],
    });
    expect(json('{"event":"other"}')).toEqual(NOTHING);
  });
  it.each(['{"door":', 'open', '[1]', 'null', '7', '"x"'])('means nothing when it is no object: %s', (line) => {
    expect(json(line)).toBeNull();
  });
  it('means nothing, and no fault, when it is to be ignored', () => {
    expect(json('# boot')).toEqual(NOTHING);
  });
  it('never reads what every object inherits', () => {
    const reader = createLineReader(rules({ format: 'json' }, ['constructor', '__proto__', 'toString.name']));
    expect(reader('{"a":{}}')).toEqual(NOTHING);
  });
  it('stands any text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
        expect(() => json(line)).not.toThrow();
      }),
    );
  });
});

describe('a line that fits a pattern', () => {
  it('brings its named groups, and only those that took part', () => {
    expect(text('T=21.5')).toEqual({ ...NOTHING, samples: [{ sensor: 'temp', value: '21.5' }] });
    expect(text('T=21.5 H=40')?.samples).toHaveLength(2);
  });
  it('tells events by pattern and by field', () => {
    expect(text('CARD 04A1')).toEqual({ ...NOTHING, events: [{ name: 'card', data: { card: '04A1' } }] });
    expect(text('DOOR=open')).toEqual({
      ...NOTHING,
      samples: [{ sensor: 'door', value: 'open' }],
      events: [{ name: 'opened', data: {} }],
    });
  });
  it('means nothing when no pattern fits', () => {
    expect(text('DOOR=ajar')).toBeNull();
    expect(text('xDOOR=open')).toBeNull();
  });
});
