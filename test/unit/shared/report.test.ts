import { parseAnswer } from '@paddock/shared/answer.ts';
import { parsePresence } from '@paddock/shared/presence.ts';
import { parseReport, QUALITY_REASONS } from '@paddock/shared/report.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { refusalOf } from '../../harness/refusals.ts';
import { fullReport, minimalReport, sampleAnswer, samplePresence, typicalReport } from '../../harness/samples.ts';

const MESSAGES = [
  { kind: 'minimal report', parse: parseReport, sample: minimalReport },
  { kind: 'typical report', parse: parseReport, sample: typicalReport },
  { kind: 'full report', parse: parseReport, sample: fullReport },
  { kind: 'answer', parse: parseAnswer, sample: sampleAnswer },
  { kind: 'presence', parse: parsePresence, sample: samplePresence },
] as const;
const OPTIONAL = new Set(
  ['segment', 'wallMs', 'ask', 'exchanges', 'host', 'agent', 'outbox', 'inventory', 'desired'].concat([
    'nonce',
    'resendPerSecond',
  ]),
);

describe.each(MESSAGES)('the parser of a $kind', ({ parse, sample }) => {
  it('takes it as it is, with fields it does not know', () => {
    const newer = { ...sample, colour: { of: 'tomorrow' } };
    expect(parse(structuredClone(newer))).toEqual(newer);
  });

  it('refuses it without any of its required fields', async () => {
    for (const field of Object.keys(sample)) {
      const less = Object.fromEntries(Object.entries(sample).filter(([name]) => name !== field));
      const mayLack = OPTIONAL.has(field) && !(field === 'desired' && 'recorded' in sample);
      expect({ field, code: await refusalOf(() => parse(less)) }).toEqual({
        field,
        code: mayLack ? null : 'payload_invalid',
      });
    }
  });

  it.each([0, 2, 99, -1])('calls version %d unsupported before it looks at anything else', async (v) => {
    expect(await refusalOf(() => parse({ v }))).toBe('version_unsupported');
  });

  it.each([undefined, '1', 1.5, null, true, [1]])('calls version %j invalid', async (v) => {
    expect(await refusalOf(() => parse({ ...sample, v }))).toBe('payload_invalid');
  });

  it('refuses everything that is not an object', async () => {
    for (const value of [null, undefined, 1, 'v', [], [sample], true]) {
      expect(await refusalOf(() => parse(value))).toBe('payload_invalid');
    }
  });

  it('never throws anything but a refusal, whatever JSON it gets', async () => {
    const field = fc.constantFrom(...Object.keys(sample));
    await fc.assert(
      fc.asyncProperty(field, fc.jsonValue(), async (name, value) => {
        const code = await refusalOf(() => parse({ ...sample, [name]: value }));
        expect([null, 'payload_invalid', 'version_unsupported']).toContain(code);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a report', () => {
  const reading = (changes: object): unknown => ({
    ...minimalReport,
    readings: { door: { value: true, ageMs: 1, ...changes } },
  });
  const wrong: [what: string, report: unknown][] = [
    ['a device id in capitals', { ...minimalReport, device: 'KIOSK-1' }],
    ['an incarnation of another length', { ...minimalReport, incarnation: 'short' }],
    ['start 0', { ...minimalReport, start: 0 }],
    ['a negative sequence', { ...minimalReport, sequence: -1 }],
    ['a sequence that is no integer', { ...minimalReport, sequence: 0.5 }],
    ['a sequence past 2^53', { ...minimalReport, sequence: 2 ** 53 }],
    ['an uptime as text', { ...minimalReport, uptimeMs: '81230' }],
    ['a wall clock out of every calendar', { ...minimalReport, wallMs: 9e15 }],
    ['an unknown trigger', { ...minimalReport, trigger: { kind: 'whim' } }],
    ['a change of no sensor', { ...minimalReport, trigger: { kind: 'change' } }],
    ['an event whose data is no object', { ...minimalReport, trigger: { kind: 'event', name: 'x', data: 1 } }],
    ['a sensor in capitals', { ...minimalReport, readings: { Door: { value: true, ageMs: 1 } } }],
    ['a sensor with no name', { ...minimalReport, readings: { '': { value: true, ageMs: 1 } } }],
    ['a value that is an object', reading({ value: {} })],
    ['a value that is missing', reading({ value: undefined })],
    ['an age below zero', reading({ ageMs: -1 })],
    ['a quality of its own', reading({ quality: 'splendid' })],
    ['a reason in capitals', reading({ quality: 'bad', reason: 'STALE' })],
    ['a nonce that is too short', { ...minimalReport, ask: 'abc' }],
    ['a nonce with other letters', { ...minimalReport, ask: 'tY7nQe2RkM4=' }],
    ['a processor share of 2', { ...minimalReport, host: { processorShare: 2 } }],
    [
      'more sensors than 512',
      {
        ...minimalReport,
        readings: Object.fromEntries(Array.from({ length: 513 }, (_, i) => [`s${i}`, { value: 1, ageMs: 0 }])),
      },
    ],
  ];

  it.each(wrong)('with %s is invalid', async (_, report) => {
    expect(await refusalOf(() => parseReport(JSON.parse(JSON.stringify(report))))).toBe('payload_invalid');
  });

  it('says where it is wrong', () => {
    expect(() => parseReport(reading({ ageMs: 'old' }))).toThrow(/\/readings\/door/);
  });

  it.each([...QUALITY_REASONS, 'a-reason-of-tomorrow'])('may call a reading bad for being %s', (reason) => {
    expect(() => parseReport(reading({ value: null, quality: 'bad', reason }))).not.toThrow();
  });
});
