import type { Reading } from '@paddock/shared/report.ts';

/** What we read of a device in an event of the cloud. */
export interface ShownDevice {
  readonly deviceId: string;
  readonly lastReport: {
    readonly receivedAt: string;
    readonly start: number;
    readonly sequence: number;
    readonly trigger: {
      readonly kind: string;
      readonly sensor?: string;
      readonly name?: string;
      readonly data?: unknown;
    };
  } | null;
  readonly readings: Readonly<Record<string, Reading>>;
}

export interface ShownPresence {
  readonly deviceId: string;
  readonly presence: string;
  readonly previous: string | null;
  readonly since: string;
}

/** How far a device is on its way to a release. */
export interface ShownUpdate {
  readonly deviceId: string;
  readonly state: string;
  readonly step: string | null;
  readonly code: string | null;
  readonly detail: string | null;
}

/** One line: when, who, why, and the readings that are not what they were. Null when there is nothing new. */
export function stateLine(device: ShownDevice, before: ShownDevice | undefined): string | null {
  const { lastReport, readings, deviceId } = device;
  if (lastReport === null || isSame(lastReport, before?.lastReport)) return null;
  const changed = Object.entries(readings).filter(
    ([name, reading]) => textOf(reading) !== textOf(before?.readings[name]),
  );
  const shown = changed.map(([name, reading]) => `${name} ${textOf(reading)}`).join(', ');
  return `${timeOf(lastReport.receivedAt)}  ${deviceId}  ${triggerText(lastReport.trigger)}  ${shown || '(unchanged)'}`;
}

export const presenceLine = ({ deviceId, presence, previous, since }: ShownPresence): string =>
  `${timeOf(since)}  ${deviceId}  presence  ${previous ?? 'never-seen'} -> ${presence}`;

/** @param now RFC 3339 */
export const updateLine = ({ deviceId, state, step, code, detail }: ShownUpdate, now: string): string =>
  [timeOf(now), deviceId, 'firmware', [state, step, code, detail].filter((word) => word !== null).join(', ')].join(
    '  ',
  );

const isSame = (a: ShownDevice['lastReport'], b: ShownDevice['lastReport'] | undefined): boolean =>
  a?.start === b?.start && a?.sequence === b?.sequence;

const timeOf = (instant: string): string => new Date(instant).toTimeString().slice(0, 8);

function triggerText({ kind, sensor, name, data }: NonNullable<ShownDevice['lastReport']>['trigger']): string {
  if (kind === 'change') return `change of ${sensor}`;
  if (kind === 'event') return `event ${name} ${JSON.stringify(data ?? {})}`;
  return kind;
}

/** As people write it; numbers with as many digits as a display would show. */
function textOf(reading: Reading | undefined): string {
  if (reading === undefined) return '';
  const { value, unit, quality, reason } = reading;
  if (value === null) return `${quality ?? 'bad'} (${reason})`;
  const text = typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value);
  const flaw = quality === 'suspect' ? ` (${reason})` : '';
  return `${text}${unit === undefined ? '' : ` ${unit}`}${flaw}`;
}
