import { span, whyWords } from './device-sheet.ts';
import { plain, sheet, table, type Column } from './table.ts';

type Item = Readonly<Record<string, unknown>>;

interface ShownWhy {
  readonly reason: string;
  readonly basedOn: readonly string[];
  readonly detail?: string | null;
}

interface ShownBegan {
  readonly agent: ShownWhy;
  readonly machine: ShownWhy | null;
  readonly ranMs: number | null;
  readonly ended: ShownTime | null;
  readonly crashId: string | null;
}

interface ShownTime {
  readonly earliest: string | null;
  readonly latest: string;
  readonly estimate: string;
  readonly basis: string;
}

interface ShownBreadcrumb {
  readonly uptimeMs: number;
  readonly level: string;
  readonly what: string;
  readonly more?: Item;
}

interface ShownContent {
  readonly began: { readonly agent: ShownWhy; readonly machine?: ShownWhy };
  readonly error?: { readonly name: string; readonly message: string; readonly stack: string };
  readonly breadcrumbs: readonly ShownBreadcrumb[];
  readonly kernel?: string;
}

const began = (show: (began: ShownBegan) => unknown) => (item: Item) => {
  const it = item['began'] as ShownBegan | null;
  return it === null ? null : show(it);
};

/** Starts, each with what ended the one before it. */
export const START_COLUMNS: readonly Column<Item>[] = [
  { heading: 'START', show: ({ start }) => start },
  { heading: 'FIRST REPORT', show: ({ firstReceivedAt }) => firstReceivedAt },
  { heading: 'BEFORE IT', show: began(({ agent }) => whyWords(agent)) },
  { heading: 'THE MACHINE', show: began(({ machine }) => (machine === null ? 'ran on' : whyWords(machine))) },
  { heading: 'LAST SIGN OF LIFE', show: began(({ ended }) => ended?.estimate) },
  { heading: 'RAN', show: began(({ ranMs }) => (ranMs === null ? null : span(ranMs))) },
  { heading: 'CRASH', show: began(({ crashId }) => crashId) },
  { heading: 'REPORTS', show: ({ recorded }) => recorded },
];

export const CRASH_COLUMNS: readonly Column<Item>[] = [
  { heading: 'CRASH', show: ({ crashId }) => crashId },
  { heading: 'LAST SIGN OF LIFE', show: ({ time }) => (time as ShownTime).estimate },
  { heading: 'RECEIVED', show: ({ receivedAt }) => receivedAt },
  { heading: 'REASON', show: ({ reason }) => reason },
  { heading: 'THE MACHINE', show: ({ machine }) => machine ?? 'ran on' },
  { heading: 'DETAIL', show: ({ detail }) => detail },
  { heading: 'VERSION', show: ({ agentVersion }) => agentVersion },
];

const BREADCRUMB_COLUMNS: readonly Column<ShownBreadcrumb>[] = [
  { heading: 'UPTIME', show: ({ uptimeMs }) => span(uptimeMs) },
  { heading: 'LEVEL', show: ({ level }) => level },
  { heading: 'WHAT', show: ({ what }) => what },
  { heading: '', show: ({ more = {} }) => moreWords(more) },
];

const moreWords = (more: Item): string =>
  Object.entries(more)
    .map(([name, value]) => `${name}=${plain(value)}`)
    .join(' ');

/** One crash report for people: what, when, the stack, what the agent did before, what the kernel said. */
export function crashSheet(crash: Item): string {
  const { content, time, deviceId: _, ...head } = crash;
  const { began: why, error, breadcrumbs, kernel } = content as ShownContent;
  const { estimate, earliest, latest, basis } = time as ShownTime;
  return [
    sheet({
      ...head,
      reason: whyWords(why.agent),
      ...(why.machine && { machine: whyWords(why.machine) }),
      lastSignOfLife: `${estimate} (${earliest ?? 'any time'} to ${latest}, ${basis})`,
    }),
    ...(error ? [`${plain(`${error.name}: ${error.message}`)}\n${linesOf(error.stack)}`] : []),
    table(breadcrumbs, BREADCRUMB_COLUMNS),
    ...(kernel === undefined ? [] : [linesOf(kernel)]),
  ].join('\n\n');
}

const linesOf = (text: string): string =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => `  ${plain(line)}`)
    .join('\n');
