import { fromInstant } from '@paddock/shared/time.ts';
import { convergenceWords } from './desired-sheet.ts';
import { plain, sheet, table, type Column } from './table.ts';

type Item = Readonly<Record<string, unknown>>;

/** What we show of a device's clock, as the API gives it. */
interface ShownClock {
  readonly skewMs: number | null;
  readonly skewErrorMs: number | null;
  readonly driftPpm: { readonly lowest: number; readonly highest: number } | null;
  readonly lastExchangeAgeMs: number | null;
  readonly steps: number;
  readonly lastStepMs: number | null;
  readonly faults: readonly { readonly code: string; readonly title: string }[];
}

interface ShownDelivery {
  readonly recorded: number;
  readonly newestSequence: number | null;
  readonly missing: number;
  readonly droppedRoutine: number;
  readonly droppedEvents: number;
  readonly refused: number;
  readonly abandoned: number;
  readonly lostOrOnTheWay: number;
  readonly waiting: number | null;
}

interface ShownReport {
  readonly start: number;
  readonly sequence: number;
  readonly trigger: { readonly kind: string };
  readonly time: ShownTime;
}

interface ShownTime {
  readonly earliest: string | null;
  readonly latest: string;
  readonly estimate: string;
  readonly basis: string;
}

interface ShownError {
  readonly code: string;
  readonly detail?: string;
}

const whyOf = (error: ShownError | undefined): string | undefined =>
  error && (error.detail === undefined ? error.code : `${error.code} (${error.detail})`);

const READING_COLUMNS: readonly Column<Item>[] = [
  { heading: 'SENSOR', show: ({ sensor }) => sensor },
  { heading: 'VALUE', show: ({ value }) => value },
  { heading: 'UNIT', show: ({ unit }) => unit },
  { heading: 'QUALITY', show: ({ quality, reason }) => [quality ?? 'good', reason].filter(Boolean).join(': ') },
  { heading: 'AGE MS', show: ({ ageMs }) => ageMs },
  { heading: 'CHANGED AGO MS', show: ({ changedAgoMs }) => changedAgoMs },
];

const OUTPUT_COLUMNS: readonly Column<Item>[] = [
  { heading: 'OUTPUT', show: ({ output }) => output },
  { heading: 'DESIRED', show: ({ desired }) => desired },
  { heading: 'ACTUAL', show: ({ actual }) => actual },
  { heading: 'STATE', show: ({ state }) => state },
  { heading: 'WHY', show: ({ error }) => whyOf(error as ShownError | undefined) },
];

const CHANGE_COLUMNS: readonly Column<Item>[] = [
  { heading: 'CHANGED', show: ({ time }) => (time as ShownTime).estimate },
  { heading: 'RIGHT TO', show: ({ time }) => errorOf(time as ShownTime) },
  { heading: 'KNOWN BY', show: ({ time }) => (time as ShownTime).basis },
  { heading: 'SENSOR', show: ({ sensor }) => sensor },
  { heading: 'TO', show: ({ value }) => value },
  { heading: 'UNSEEN BEFORE', show: ({ unseen }) => (unseen === 0 ? '-' : unseen) },
];

/** A device for people: what it is, its readings, what they changed, its clock, and what became of its reports. */
export function deviceSheet(device: Item, changes: readonly Item[]): string {
  const { readings, outputs, clock, delivery, desired, lastReport, began, troubles, ...attributes } = device;
  const rows = Object.entries((readings ?? {}) as Record<string, Item>).map(([sensor, reading]) => ({
    sensor,
    ...reading,
  }));
  const driven = Object.entries((outputs ?? {}) as Record<string, Item>).map(([output, is]) => ({ output, ...is }));
  return [
    sheet({
      ...attributes,
      lastReport: lastReport ? reportWords(lastReport as ShownReport) : null,
      ...(began ? { began: beganWords(began as ShownBegan) } : {}),
      ...(Array.isArray(troubles) && troubles.length > 0 ? { troubles: troubles.map(troubleWords).join(', ') } : {}),
      ...(desired ? { desired: convergenceWords(desired as Item) } : {}),
    }),
    ...(clock ? [sheet(clockWords(clock as ShownClock))] : []),
    ...(delivery ? [sheet(deliveryWords(delivery as ShownDelivery))] : []),
    table(rows, READING_COLUMNS),
    ...(driven.length > 0 ? [table(driven, OUTPUT_COLUMNS)] : []),
    ...(changes.length > 0 ? [table(changes, CHANGE_COLUMNS)] : []),
  ].join('\n\n');
}

interface ShownBegan {
  readonly agent: ShownWhy;
  readonly machine?: ShownWhy;
}

interface ShownWhy {
  readonly reason: string;
  readonly basedOn: readonly string[];
  readonly detail?: string | null;
}

const beganWords = ({ agent, machine }: ShownBegan): string =>
  [`after ${whyWords(agent)}`, ...(machine ? [`the machine was booted: ${whyWords(machine)}`] : [])].join('; ');

/** `agent_crash (uncaught-error: TypeError)` */
export const whyWords = ({ reason, basedOn, detail }: ShownWhy): string =>
  `${reason} (${basedOn.join(', ')}${typeof detail === 'string' ? `: ${detail}` : ''})`;

const troubleWords = ({ code, part, count }: Item): string => [code, part, count].filter(Boolean).join(' ');

const reportWords = ({ start, sequence, trigger, time }: ShownReport): string =>
  `${time.estimate} (${errorOf(time)}, ${time.basis}), ${plain(trigger.kind)}, start ${start}, sequence ${sequence}`;

function clockWords({ skewMs, skewErrorMs, driftPpm, lastExchangeAgeMs, steps, lastStepMs, faults }: ShownClock) {
  return {
    'wall clock': skewMs === null ? 'not known' : skewWords(skewMs, skewErrorMs),
    drift: driftPpm === null ? 'not known yet' : `runs fast by ${driftPpm.lowest} to ${driftPpm.highest} ppm`,
    exchange: lastExchangeAgeMs === null ? 'none in this boot' : `${span(lastExchangeAgeMs)} before the newest report`,
    set: steps === 0 ? 'not in this boot' : `${steps} times, last by ${signed(lastStepMs ?? 0)}`,
    'clock faults': faults.length === 0 ? 'none' : faults.map(({ code, title }) => `${code} (${title})`).join('; '),
  };
}

function skewWords(skewMs: number, errorMs: number | null): string {
  // Only an arrival bounds it: true time was then, or earlier.
  if (errorMs === null) return skewMs < 0 ? `behind by at most ${span(-skewMs)}` : `ahead by at least ${span(skewMs)}`;
  if (Math.abs(skewMs) <= errorMs) return `right, as far as can be told (to ${span(errorMs)})`;
  return `${skewMs > 0 ? 'ahead' : 'behind'} by ${span(Math.abs(skewMs))}, give or take ${span(errorMs)}`;
}

function deliveryWords(delivery: ShownDelivery): Item {
  const { recorded, newestSequence, missing, waiting } = delivery;
  const of = newestSequence === null ? 0 : newestSequence + 1;
  return {
    reports: `${recorded} of ${of} recorded since the agent's start`,
    missing: missing === 0 ? 'none' : `${missing}: ${reasonsOf(delivery)}`,
    waiting: waiting === null ? 'not told' : `${waiting} in the outbox of the device`,
  };
}

function reasonsOf(delivery: ShownDelivery): string {
  const { droppedRoutine, droppedEvents, refused, abandoned, lostOrOnTheWay } = delivery;
  const reasons: readonly (readonly [count: number, what: string])[] = [
    [droppedRoutine, 'routine reports dropped by its outbox'],
    [droppedEvents, 'events dropped by its outbox'],
    [refused, 'refused for ever'],
    [lostOrOnTheWay, 'lost or on the way'],
    [abandoned, 'awaited no longer'],
  ];
  return reasons.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`])).join(', ');
}

const errorOf = ({ earliest, latest }: ShownTime): string =>
  earliest === null ? 'no earlier bound' : span((fromInstant(latest) - fromInstant(earliest)) / 2);

const signed = (ms: number): string => `${ms < 0 ? '-' : ''}${span(Math.abs(ms))}`;

/** From here on, in these units. */
const UNITS: readonly (readonly [fromMs: number, unitMs: number, unit: string])[] = [
  [172_800_000, 86_400_000, 'd'],
  [7_200_000, 3_600_000, 'h'],
  [120_000, 60_000, 'min'],
  [1_000, 1_000, 's'],
];

/** How long, in the unit that people would say it in. */
export function span(ms: number): string {
  const [, unitMs, unit] = UNITS.find(([fromMs]) => ms >= fromMs) ?? [0, 1, 'ms'];
  return `${plain(Number((ms / unitMs).toPrecision(3)))} ${unit}`;
}
