import { countLine, judgeLines, judgePort, judgeReading, newTally } from '@paddock/agent/doctor-ports.ts';
import { describe, expect, it } from 'vitest';

const port = { name: 'panel', state: 'open', detail: null, samples: 3, faults: {} } as const;
const verdict = ({ status, code }: { status: string; code?: string }): string[] => [status, code ?? ''];

describe('what the doctor says of a port', () => {
  it.each([
    [port, ['ok', '']],
    [{ ...port, faults: { checksum: 2 } }, ['warn', 'port_faults']],
    [{ ...port, state: 'silent' }, ['fail', 'port_silent']],
    [{ ...port, state: 'lost', detail: 'no such file' }, ['fail', 'port_unusable']],
    [{ ...port, state: 'opening' }, ['fail', 'port_unusable']],
  ] as const)('%j', (state, expected) => {
    expect(verdict(judgePort(state))).toEqual(expected);
  });
});

describe('what the doctor says of lines', () => {
  const patterns = ['^DOOR=(?<door>open|closed)$', '^CARD (?<card>[0-9A-F]+)$'];
  const judged = (
    lines: readonly (string | null)[],
    settings: { patterns?: string[]; format?: 'json' | 'nmea' },
  ): string[][] => {
    const tally = newTally(settings);
    for (const line of lines) countLine(tally, line);
    return judgeLines('panel', settings, tally).map(verdict);
  };

  it.each([
    ['none', [], [['warn', 'no_lines']]],
    ['that fit', ['DOOR=open', 'CARD 04A1'], [['ok', '']]],
    [
      'that no pattern fits',
      ['garbage', null],
      [
        ['fail', 'lines_not_understood'],
        ['warn', 'pattern_unused'],
        ['warn', 'pattern_unused'],
      ],
    ],
    [
      'of both kinds',
      ['DOOR=open', 'garbage'],
      [
        ['warn', 'lines_not_understood'],
        ['warn', 'pattern_unused'],
      ],
    ],
  ])('%s', (_what, lines, expected) => {
    expect(judged(lines, { patterns })).toEqual(expected);
  });

  it('of JSON', () => {
    expect(judged(['{"door":"open"}'], { format: 'json' })).toEqual([['ok', '']]);
    expect(judged(['door open'], { format: 'json' })).toEqual([['fail', 'lines_not_understood']]);
  });
});

describe('what the doctor says of sentences', () => {
  it('is how many came whole', () => {
    const tally = newTally({ format: 'nmea' });
    for (const line of ['$HEHDT,274.5,T*2B', '$HEHDT,274.6,T*2B', 'boot']) countLine(tally, line);
    expect([tally.lines, tally.understood, tally.example]).toEqual([3, 1, '$HEHDT,274.6,T*2B']);
  });
});

describe('what the doctor says of a reading', () => {
  it.each([
    [{ value: true, ageMs: 0 }, ['ok', '']],
    [{ value: 99, ageMs: 0, quality: 'suspect', reason: 'out-of-range' }, ['warn', 'out-of-range']],
    [{ value: null, ageMs: null, quality: 'bad', reason: 'unplugged' }, ['fail', 'unplugged']],
  ] as const)('%j', (reading, expected) => {
    expect(verdict(judgeReading('door', reading))).toEqual(expected);
  });
});
