import { plain, sheet, type Column } from './table.ts';

type Item = Readonly<Record<string, unknown>>;

interface ShownRelease {
  readonly name: string;
  readonly version: string;
  readonly counter: number;
  readonly published?: boolean;
}

const releaseWords = (release: unknown): string => {
  if (release === null || release === undefined) return 'nothing';
  const { name, version, counter, published } = release as ShownRelease;
  return `${name} ${version} (${counter})${published === false ? ', which nobody published here' : ''}`;
};

/** The states that there are devices in, with how many. */
function totalsWords(totals: unknown): string {
  const counts = Object.entries(totals as Readonly<Record<string, number>>).filter(([, count]) => count > 0);
  return counts.length === 0 ? 'no devices' : counts.map(([state, count]) => `${count} ${state}`).join(', ');
}

const withCode = (state: unknown, code: unknown): string =>
  typeof code === 'string' ? `${plain(state)} (${code})` : plain(state);

/** Where a device is on its way, and how much of the download is there. */
function stepWords({ step, percent }: Item): string | null {
  if (typeof step !== 'string') return null;
  return typeof percent === 'number' ? `${step} ${percent} %` : step;
}

export const ASSIGNMENT_COLUMNS: readonly Column<Item>[] = [
  { heading: 'ASSIGNMENT', show: ({ assignmentId }) => assignmentId },
  { heading: 'RELEASE', show: ({ release }) => releaseWords(release) },
  { heading: 'STATE', show: ({ state, code }) => withCode(state, code) },
  { heading: 'SINCE', show: ({ since }) => since },
  { heading: 'DEVICES', show: ({ totals }) => totalsWords(totals) },
];

export const ASSIGNED_DEVICE_COLUMNS: readonly Column<Item>[] = [
  { heading: 'DEVICE', show: ({ deviceId }) => deviceId },
  { heading: 'STATE', show: ({ state, code }) => withCode(state, code) },
  { heading: 'WHERE', show: stepWords },
  { heading: 'SINCE', show: ({ since }) => since },
  {
    heading: 'DETAIL',
    show: ({ detail, supersededBy }) => detail ?? (supersededBy && `by assignment ${plain(supersededBy)}`),
  },
];

export const FIRMWARE_CHANGE_COLUMNS: readonly Column<Item>[] = [
  { heading: 'AFTER', show: ({ time }) => (time as Item)['earliest'] },
  { heading: 'BEFORE', show: ({ time }) => (time as Item)['latest'] },
  { heading: 'RAN', show: ({ running }) => releaseWords(running) },
  { heading: 'SLOT', show: ({ slot }) => slot },
  { heading: 'REPORT', show: ({ report }) => Object.values(report as Item).join('/') },
];

/** One assignment, a line an attribute. */
export const assignmentSheet = (body: Item): string =>
  sheet({
    assignment: body['assignmentId'],
    release: releaseWords(body['release']),
    state: withCode(body['state'], body['code']),
    ...(body['detail'] !== null && { detail: body['detail'] }),
    devices: totalsWords(body['totals']),
    for: body['filter'] === null ? 'a list of devices' : filterWords(body['filter'] as Item, body['standing'] === true),
    'at once': body['cap'],
    'halts after': `${String(body['haltAfter'])} failed or stalled`,
    created: `${plain(body['createdAt'])} by ${plain(body['createdBy'])}`,
    since: body['since'],
  });

function filterWords(filter: Item, standing: boolean): string {
  const parts = Object.entries(filter).map(([name, value]) => `${name} ${plain(value)}`);
  return `${parts.length === 0 ? 'all devices' : parts.join(', ')}${standing ? ', and those that come later' : ''}`;
}

/** What a device runs and how its update does. */
export function firmwareSheet(body: Item): string {
  const firmware = body['firmware'] as Item | null;
  if (firmware === null) return sheet({ device: body['deviceId'], firmware: 'no report says anything of it' });
  const { running, target, error, status, state, slot, committed, quarantined } = firmware;
  const { code, detail } = (error ?? {}) as Item;
  return sheet({
    device: body['deviceId'],
    runs: releaseWords(running && { ...running, published: body['published'] }),
    slot: `${plain(slot)}${committed === true ? '' : ', not committed'}`,
    update: `${plain(stepWords({ step: state, percent: firmware['progressPercent'] }))} (${plain(status)})`,
    ...(target !== undefined && { to: releaseWords(target) }),
    ...(error !== undefined && { error: detail === undefined ? code : `${plain(code)}: ${plain(detail)}` }),
    ...(quarantined !== undefined && { quarantined }),
    assignment: body['assignmentId'],
    received: body['receivedAt'],
  });
}

export const assignmentLine = (body: Item): string =>
  [
    plain(body['since']),
    `assignment ${plain(body['assignmentId'])}`,
    plain(releaseWords(body['release'])),
    plain(withCode(body['state'], body['code'])),
    totalsWords(body['totals']),
  ].join('  ');

export const assignedDeviceLine = (body: Item): string =>
  [
    plain(body['toldAt']),
    plain(body['deviceId']),
    plain(withCode(body['state'], body['code'])),
    ...[stepWords(body), body['detail']].flatMap((text) => (typeof text === 'string' ? [plain(text)] : [])),
  ].join('  ');
