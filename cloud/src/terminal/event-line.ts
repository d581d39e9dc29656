import { convergenceWords } from './desired-sheet.ts';
import { assignedDeviceLine, assignmentLine } from './rollout-words.ts';
import { plain } from './table.ts';

type Item = Readonly<Record<string, unknown>>;

/** One line for one live event, for a terminal. */
export function eventLine(event: string, body: Item): string {
  const id = plain(body['deviceId']);
  if (event === 'presence')
    return `${plain(body['since'])}  ${id}  ${plain(body['previous'])} -> ${plain(body['presence'])}`;
  if (event === 'desired') return `${id}  desired: ${plain(convergenceWords(body))}`;
  if (event === 'assignment') return assignmentLine(body);
  if (event === 'assignment-device') return assignedDeviceLine(body);
  const report = (body['lastReport'] ?? {}) as Item;
  const trigger = plain((report['trigger'] as Item | undefined)?.['kind']);
  const readings = Object.entries((body['readings'] ?? {}) as Record<string, Item>).map(readingText);
  return [plain(report['receivedAt']), id, plain(body['presence']), trigger, ...readings].join('  ');
}

/** A value that is not good says so: an old or broken one must never look fresh. */
function readingText([sensor, { value, unit, quality, reason }]: [string, Item]): string {
  const text = `${plain(sensor)}=${plain(value)}${unit === undefined ? '' : ` ${plain(unit)}`}`;
  return quality === undefined || quality === 'good' ? text : `${text} (${plain(quality)}: ${plain(reason)})`;
}
