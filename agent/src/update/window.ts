import { WEEKDAYS, type MaintenanceWindow, type Weekday } from '@paddock/shared/desired.ts';
import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import { UpdateError } from './update-error.ts';

const MINUTE_MS = 60_000;
/** Who knows the time no better than that does not know it. */
const DAY_MS = 24 * 60 * MINUTE_MS;

/** Whether a window is open, by true time. */
export type WindowCheck = (time: { readonly earliest: WallMs; readonly latest: WallMs | null }) => boolean;

/**
 * A window on the clock of the wall of its site: what a clock change leaves out is not there, what it repeats is there
 * twice. While true time is not known well enough to say, the window is closed.
 * @throws UpdateError `update_zone_unknown`
 */
export function windowCheck(window: MaintenanceWindow | undefined): WindowCheck {
  if (window === undefined) return () => true;
  const local = localClock(window.zone);
  const isOpen = (at: WallMs): boolean => isWithin(window, local(at));
  return ({ earliest, latest }) => {
    if (latest === null || latest - earliest > DAY_MS || !isOpen(latest)) return false;
    // All the time between: both ends may lie in openings with a gap between them.
    for (let at = Number(earliest); at < latest; at += MINUTE_MS) if (!isOpen(wallMs(at))) return false;
    return true;
  };
}

interface LocalTime {
  readonly day: Weekday;
  readonly minute: number;
}

function isWithin({ days = [...WEEKDAYS], from, to }: MaintenanceWindow, { day, minute }: LocalTime): boolean {
  const [first, end] = [minuteOf(from), minuteOf(to)];
  const today = days.includes(day);
  if (first < end) return today && minute >= first && minute < end;
  // It began yesterday and ends today, or begins today.
  return (today && minute >= first) || (days.includes(dayBefore(day)) && minute < end);
}

const minuteOf = (time: string): number => Number(time.slice(0, 2)) * 60 + Number(time.slice(3));
const dayBefore = (day: Weekday): Weekday => WEEKDAYS[(WEEKDAYS.indexOf(day) + 6) % 7] ?? day;

function localClock(zone: string): (at: WallMs) => LocalTime {
  const format = formatOf(zone);
  return (at) => {
    const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
    const day = WEEKDAYS.find((each) => each === parts['weekday']?.toLowerCase()) ?? 'mon';
    return { day, minute: Number(parts['hour']) * 60 + Number(parts['minute']) };
  };
}

function formatOf(zone: string): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      weekday: 'short',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    });
  } catch (cause) {
    throw new UpdateError('update_zone_unknown', zone, { cause });
  }
}
