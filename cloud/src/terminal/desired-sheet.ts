import { plain, sheet, type Column } from './table.ts';

type Item = Readonly<Record<string, unknown>>;

interface ShownReport {
  readonly epoch: number;
  readonly version: number;
  readonly errors?: Readonly<Record<string, { readonly code: string; readonly detail?: string }>>;
  readonly withheld?: { readonly epoch: number; readonly version: number };
}

interface ShownChange {
  readonly key: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** How a device does with what shall last on it, in a line. */
export function convergenceWords({ epoch, version, converged, ...rest }: Item): string {
  const reported = rest['reported'] as ShownReport | null;
  const is = `version ${plain(version)}`;
  if (version === 0) return 'nothing was ever set';
  if (converged === true) return `${is}, applied`;
  if (reported === null) return `${is}, not taken up: the device reports none`;
  if (reported.epoch !== epoch || reported.version !== version)
    return `${is}, not taken up: the device has ${heldWords(reported)}`;
  const errors = Object.entries(reported.errors ?? {}).map(([key, { code }]) => `${key}: ${code}`);
  return `${is}, not applied: ${errors.join(', ')}`;
}

const heldWords = ({ version, withheld }: ShownReport): string =>
  `${version === 0 ? 'none' : version}${withheld ? `, and misses ${withheld.version}: it was told of it and does not get it` : ''}`;

/** What shall last on a device, for people: a line a key. */
export function desiredSheet(body: Item): string {
  const state = body['state'] as Item;
  const reported = body['reported'] as ShownReport | null;
  const errors = Object.entries(reported?.errors ?? {}).map(([key, { code, detail }]): [string, string] => [
    `error ${key}`,
    detail === undefined ? code : `${code} (${detail})`,
  ]);
  const head = {
    device: body['deviceId'],
    desired: convergenceWords(body),
    changed: body['changedAt'] === null ? null : `${plain(body['changedAt'])} by ${plain(body['changedBy'])}`,
    'reported since': body['reportedAt'],
    ...Object.fromEntries(errors),
  };
  return [sheet(head), ...(Object.keys(state).length > 0 ? [sheet(state)] : [])].join('\n\n');
}

const changeWords = ({ key, before, after }: ShownChange): string =>
  after === null ? `${key} taken away` : `${key} ${before === null ? 'set' : 'changed'} to ${JSON.stringify(after)}`;

export const DESIRED_HISTORY_COLUMNS: readonly Column<Item>[] = [
  { heading: 'VERSION', show: ({ version }) => version },
  { heading: 'WHEN', show: ({ changedAt }) => changedAt },
  { heading: 'WHO', show: ({ changedBy }) => changedBy },
  { heading: 'WHAT', show: ({ changes }) => (changes as readonly ShownChange[]).map(changeWords).join('; ') },
];
