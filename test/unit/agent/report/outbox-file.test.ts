import {
  formatKnown,
  formatRefused,
  formatReport,
  parseOutbox,
  type LineFault,
} from '@paddock/agent/report/outbox-file.ts';
import { wallMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FIRST_FORMAT, sealedReport, THIS_START } from '../../../harness/agent/held-reports.ts';

const DEVICE = 'kiosk-0001';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const routine = (sequence: number): string => formatReport(DEVICE, sealedReport(sequence));
const event = (sequence: number): string => formatReport(DEVICE, sealedReport(sequence, { event: true, nonce: 'n' }));
const parse = (content: string | Uint8Array) =>
  parseOutbox(typeof content === 'string' ? bytes(content) : content, DEVICE);
const sequences = (content: string | Uint8Array): number[] => parse(content).reports.map(({ sequence }) => sequence);
const faults = (content: string | Uint8Array): [LineFault, number][] => [...parse(content).faults];

describe('the outbox file', () => {
  it('gives back what was written, without what was refused', () => {
    const known = formatKnown(DEVICE, THIS_START, wallMs(5));
    const parsed = parse(
      [event(0), routine(1), event(2), formatRefused(DEVICE, sealedReport(0).digest), known].join(''),
    );
    expect(parsed).toMatchObject({
      reports: [sealedReport(1), sealedReport(2, { event: true, nonce: 'n' })],
      known: [{ start: THIS_START, since: 5 }],
      lines: 5,
    });
    expect(parsed.faults.size).toBe(0);
  });

  it('believes no line that was damaged, and all the others', () => {
    const lines = [0, 1, 2].map(routine);
    const whole = bytes(lines.join(''));
    const first = lines[0]?.length ?? 0;
    const second = lines[1]?.length ?? 0;
    fc.assert(
      fc.property(fc.integer({ min: first, max: first + second - 2 }), fc.nat(255), (place, value) => {
        const isUnchanged = whole[place] === value;
        expect(sequences(whole.with(place, value))).toEqual(isUnchanged ? [0, 1, 2] : [0, 2]);
      }),
      { numRuns: 500 },
    );
  });

  it('has lost the last line at most, however short it was cut, and says so', () => {
    const lines = [0, 1].map(routine);
    const whole = bytes(lines.join(''));
    const first = lines[0]?.length ?? 0;
    expect(faults(whole.slice(0, first))).toEqual([]);
    for (let length = first + 1; length < whole.length - 1; length += 1) {
      expect(sequences(whole.slice(0, length))).toEqual([0]);
      expect(faults(whole.slice(0, length))).toEqual([['outbox_cut', 1]]);
    }
    // Without its newline it still says everything.
    expect(sequences(whole.slice(0, -1))).toEqual([0, 1]);
  });

  const newer = '[3,"something","kiosk-0001",{"new":true},"AAAAAAAAAAAAAAAAAAAAAA"]';
  const strange = `${JSON.stringify({ what: 'another program wrote' })}\n`;
  it.each<[string, string, [LineFault, number][], number[]]>([
    ['appended twice', routine(0) + routine(1) + routine(0) + routine(1), [['outbox_doubled', 2]], [0, 1]],
    ['cut in the middle and appended to', `${routine(0).slice(0, -40)}\n${routine(1)}`, [['outbox_damaged', 1]], [1]],
    [
      'cut in the middle and appended to without care',
      routine(0).slice(0, -40) + routine(1) + routine(2),
      [['outbox_damaged', 1]],
      [2],
    ],
    ['foreign', `${strange}${routine(1)}`, [['outbox_foreign', 1]], [1]],
    ['no text at all', `\u{FFFD}\u0001\n${routine(1)}`, [['outbox_foreign', 1]], [1]],
    ['full of zeros', '\0'.repeat(4_096), [['outbox_zeros', 1]], []],
    ['full of zeros for longer than any line', '\0'.repeat(200_000), [['outbox_zeros', 1]], []],
    ['ended with zeros', `${routine(0)}${'\0'.repeat(100_000)}`, [['outbox_zeros', 1]], [0]],
    ['full of zeros before a line', `${routine(0)}${'\0'.repeat(100_000)}${routine(1)}`, [['outbox_zeros', 1]], [0, 1]],
    ['with a huge line', `${routine(0)}${'x'.repeat(200_000)}\n${routine(1)}`, [['outbox_line_too_long', 1]], [0, 1]],
    ['one huge line', 'x'.repeat(1_000_000), [['outbox_line_too_long', 1]], []],
    ['of another device', formatReport('kiosk-0002', sealedReport(0)) + routine(1), [['outbox_other_device', 1]], [1]],
    ['of a newer version', `${newer}\n${routine(1)}`, [['outbox_newer', 1]], [1]],
  ])('that is %s loses nothing else', (_what, content, expected, left) => {
    expect(sequences(content)).toEqual(left);
    expect(faults(content)).toEqual(expected);
  });

  it('keeps what a newer version wrote as it stands', () => {
    expect(parse(`${newer}\n`).newer).toEqual([newer]);
  });

  it('reads events as the first version of the agent wrote them', () => {
    const [inOldForm] = FIRST_FORMAT;
    expect(parse(FIRST_FORMAT.join('')).reports).toEqual([
      { ...THIS_START, sequence: 1, digest: 'digest-1', nonce: 'n', envelope: 'envelope-1', event: true },
    ]);
    expect(faults(inOldForm?.replace('envelope-1', 'envelope-2') ?? '')).toEqual([['outbox_damaged', 1]]);
  });

  it('is read without a crash whatever is in it', () => {
    const Piece = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .constantFrom(routine(0), event(1), newer, '\n', '\0\0', '[2,"', '[]', '[1]', '[2]\n', '"x"\n', 'null\n')
        .map(bytes),
    );
    fc.assert(
      fc.property(fc.array(Piece, { maxLength: 12 }), (pieces) => {
        const { reports } = parse(Buffer.concat(pieces));
        expect(reports.every(({ digest }) => [0, 1].some((n) => sealedReport(n).digest === digest))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});
