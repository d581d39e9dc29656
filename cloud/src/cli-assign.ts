import type { Command } from 'commander';
import { ApiError, type ApiClient, type Item } from './adapters/api-client.ts';
import { api, EXIT, isJson, print, sub, type Options } from './cli-command.ts';
import { assignedDeviceLine, assignmentLine, assignmentSheet } from './terminal/rollout-words.ts';

const EXAMPLES = [
  'devices assign kiosk@1.1.0 kiosk-0001 --wait',
  'devices assign kiosk@1.1.0 --customer acme --cap 20 --halt-after 3',
  'devices assign kiosk/2 --all --standing --window "Europe/Zurich 22:00-05:00 mon,tue,wed,thu"',
];

/** `paddock devices assign`. */
export function addAssign(devices: Command): void {
  const assign = sub(
    devices,
    'assign <release> [device-id...]',
    'let devices run a release, NAME@VERSION or NAME/COUNTER: a list of them, or those that fit a filter',
    EXAMPLES,
  )
    .option('--customer <id>', 'devices of this customer')
    .option('--site <id>', 'devices on this site')
    .option('--model <id>', 'devices of this model')
    .option('--running <name>', 'devices that run a bundle of this name')
    .option('--presence <state>', 'devices of this presence')
    .option('--all', 'all devices')
    .option('--standing', 'with a filter: devices that come to fit it later, too')
    .option('--cap <n>', 'how many may be updating at once (default 10)')
    .option('--halt-after <n>', 'halt when so many failed or stalled (default 3)')
    .option('--stalled-after <minutes>', 'how long nothing may come of it before a device has stalled (default 60)')
    .option('--window <text>', 'when they may change: ZONE FROM-TO [DAYS], such as "Europe/Zurich 22:00-05:00 mon,tue"')
    .option('--override-lock', 'change although somebody holds the update lock')
    .option('--bytes-per-second <n>', 'fetch no more than that')
    .option('--repository <url>', 'another repository than that of the service')
    .option('--wait', 'tell how far it is until it ends; exits with 1 unless all devices were updated');
  assign.action(async (release: string, deviceIds: string[]) => {
    const options = assign.optsWithGlobals<Options>();
    const body = { release: releaseOf(release), ...targetsOf(deviceIds, options), ...termsOf(options) };
    const made = await makeAssignment(assign, await api(assign), body, options['wait'] === true);
    print(assign, made, () => assignmentSheet(made));
  });
}

/**
 * @param waits tells how far it is until it ends, and has the command fail unless all devices were updated
 * @returns it, as it is then
 */
export async function makeAssignment(command: Command, client: ApiClient, body: Item, waits: boolean): Promise<Item> {
  const { body: made } = await client.send('POST', '/assignments', body);
  if (!waits) return made;
  const ended = await follow(command, client, made);
  if (!isDone(ended)) process.exitCode = EXIT.failed;
  return ended;
}

/** @throws ApiError `release_unknown` */
function releaseOf(text: string): Item {
  const [, name, version, counter] = /^([a-z0-9-]+)(?:@(\S+)|\/([1-9]\d{0,14}))$/.exec(text) ?? [];
  if (name === undefined) throw new ApiError('release_unknown', `Say NAME@VERSION or NAME/COUNTER, not ${text}`);
  return { name, ...(version === undefined ? { counter: Number(counter) } : { version }) };
}

const FILTERS = ['customer', 'site', 'model', 'running', 'presence'] as const;

/** @throws ApiError `assignment_targets_invalid` */
function targetsOf(devices: readonly string[], options: Options): Item {
  const filter = Object.fromEntries(
    FILTERS.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])),
  );
  const isFilter = Object.keys(filter).length > 0;
  if (Number(devices.length > 0) + Number(isFilter) + Number(options['all'] === true) !== 1)
    throw new ApiError('assignment_targets_invalid', 'Name devices, or a filter, or --all');
  if (options['standing'] === true && options['wait'] === true)
    throw new ApiError('assignment_targets_invalid', 'A standing assignment never ends: leave --wait out');
  return devices.length > 0 ? { devices } : { filter };
}

function termsOf(options: Options): Item {
  const minutes = numberOf(options, 'stalledAfter');
  const terms = {
    standing: options['standing'],
    cap: numberOf(options, 'cap'),
    haltAfter: numberOf(options, 'haltAfter'),
    stalledAfterMs: minutes && Math.round(minutes * 60_000),
    window: options['window'] === undefined ? undefined : windowOf(String(options['window'])),
    overrideLock: options['overrideLock'],
    bytesPerSecond: numberOf(options, 'bytesPerSecond'),
    repository: options['repository'],
  };
  return Object.fromEntries(Object.entries(terms).filter(([, value]) => value !== undefined));
}

/** The API says what is wrong with a number; what is none it is told as it was written. */
function numberOf(options: Options, name: string): number | undefined {
  const text = options[name];
  if (text === undefined) return undefined;
  if (Number.isFinite(Number(text)) && text !== '') return Number(text);
  throw new ApiError('value_invalid', `${String(text)} is no number`);
}

/** @throws ApiError `value_invalid` */
function windowOf(text: string): Item {
  const [, zone, from, to, days] = /^(\S+) +(\d\d:\d\d)-(\d\d:\d\d)(?: +([a-z,]+))?$/.exec(text) ?? [];
  if (zone === undefined) throw new ApiError('value_invalid', `A window is ZONE FROM-TO [DAYS], not ${text}`);
  return { zone, from, to, ...(days !== undefined && { days: days.split(',') }) };
}

/** Tells what happens until the assignment is not active any more. @returns it, as it is then */
async function follow(command: Command, client: ApiClient, made: Item): Promise<Item> {
  const stop = new AbortController();
  const id = String(made['assignmentId']);
  const path = `/assignments/${id}`;
  process.once('SIGINT', () => {
    if (!isJson(command))
      console.error(`Assignment ${id} goes on: \`paddock assignments show ${id}\` shows how far it is`);
    stop.abort();
  });
  const tell = (line: string): void => void (isJson(command) || console.log(line));
  tell(assignmentLine(made));
  for await (const { event, data } of client.events(stop.signal, () => undefined)) {
    const body = JSON.parse(data) as Item;
    const isOurs = body['assignmentId'] === made['assignmentId'];
    if (event === 'assignment-device' && isOurs) tell(assignedDeviceLine(body));
    // What happened before the stream began is no event of it.
    const view = event === 'ready' ? (await client.get(path)).body : body;
    if ((event === 'ready' || (event === 'assignment' && isOurs)) && view['state'] !== 'active') return view;
  }
  return (await client.get(path)).body;
}

/** Whoever named devices wants all of them; of a filter those that the release does not fit are left out. */
function isDone({ state, totals, filter }: Item): boolean {
  const { updated = 0, refused = 0, ...others } = totals as Readonly<Record<string, number>>;
  const isAll = Object.values(others).every((count) => count === 0) && (filter !== null || refused === 0);
  return state === 'completed' && isAll && updated > 0;
}
