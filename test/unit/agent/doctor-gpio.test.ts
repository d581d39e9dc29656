import { judgeChips, judgeLine } from '@paddock/agent/doctor-gpio.ts';
import type { ChipFacts } from '@paddock/agent/ports-gpio.ts';
import { describe, expect, it } from 'vitest';

const line = (number: number, name: string | null, user: string | null) =>
  ({ line: number, name, user, direction: 'input', activeLow: false }) as const;
const CHIPS: readonly ChipFacts[] = [
  {
    path: '/dev/gpiochip0',
    name: 'gpiochip0',
    label: 'panel',
    lines: [line(0, 'DOOR', 'paddock:door'), line(1, null, 'leds'), line(2, 'LOCK', null)],
  },
];
const wanted = (user: string, of: number | string, chip = 'panel') => ({ user, chip, line: of });

describe('the doctor, of GPIO', () => {
  it('lists the chips, or says that there is none', () => {
    expect(judgeChips(CHIPS)).toMatchObject({ status: 'ok', message: '/dev/gpiochip0 (panel, 3 lines)' });
    expect(judgeChips([])).toMatchObject({ status: 'fail', code: 'gpio_chip_missing' });
  });

  it.each([
    [wanted('door', 'DOOR'), { status: 'ok', message: 'The agent has line 0 (DOOR)' }],
    [wanted('lock', 2), { status: 'ok', message: 'Nobody has line 2 (LOCK)' }],
    [wanted('lid', 1), { status: 'fail', code: 'gpio_line_busy' }],
    [wanted('other', 'DOOR', '/dev/gpiochip0'), { status: 'fail', code: 'gpio_line_busy' }],
    [wanted('lid', 3), { status: 'fail', code: 'gpio_line_missing' }],
    [wanted('lid', 'LID', 'gpiochip0'), { status: 'fail', code: 'gpio_line_missing' }],
  ])('says who has a line: %j', (line, finding) => {
    expect(judgeLine(line, CHIPS)).toMatchObject([finding]);
  });

  it('says nothing of a line whose chip is not there', () => {
    expect(judgeLine(wanted('lid', 0, 'other'), CHIPS)).toEqual([]);
  });
});
