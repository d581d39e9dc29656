import type { Log } from '../ports.ts';
import type { Notice } from './notifications.ts';

/** How each notice stands in the log. */
const LINES = {
  'device.lost': { level: 'warn', message: 'A device is lost' },
  'device.back': { level: 'info', message: 'A device is back' },
  'fleet.silent': {
    level: 'warn',
    message: 'Most of the fleet fell silent: no device is called lost until it is heard again',
  },
  'fleet.back': { level: 'info', message: 'The fleet is heard again' },
  'cloud.clock-disagrees': {
    level: 'error',
    message: 'Clocks of the cloud contradict each other by more than they claim to be wrong',
  },
  'device.clock': { level: 'warn', message: 'The clock of a device is not what it should be' },
  'device.clone': { level: 'error', message: 'Clone alarm: two devices claim one identity' },
  'device.new-incarnation': { level: 'warn', message: 'A device lost its state file, or its board was swapped' },
  'device.inventory': { level: 'warn', message: 'Components of a device are others than before' },
  'device.crash': { level: 'warn', message: 'A device tells of an end that was not in good order' },
  'assignment.halted': {
    level: 'warn',
    message: 'An assignment of firmware halted: nothing is handed out until it is resumed',
  },
  'assignment.left': { level: 'warn', message: 'A device left the release again that an assignment had brought it' },
  'cloud.clock-agrees': { level: 'info', message: 'The clocks of the cloud agree again' },
} as const satisfies Record<Notice['type'], { level: 'info' | 'warn' | 'error'; message: string }>;

/** What operators are told stands in the log too. */
export function tell(log: Log, { type, data }: Pick<Notice, 'type' | 'data'>): void {
  const { level, message } = LINES[type];
  const code = type === 'cloud.clock-disagrees' ? { code: 'clock_disagrees' } : {};
  log[level]({ event: type, ...code, ...data }, message);
}
