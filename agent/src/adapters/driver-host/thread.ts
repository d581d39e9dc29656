/** The program of the thread of a plug-in driver: loads it, has it check its options, and carries what it tells. */
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import type { DriverOrder, DriverTold } from '../driver-host.ts';
import { DRIVER_CONTRACT, type DriverCode, type DriverStart, type DriverWord } from '../../ports-driver.ts';

/** What is said within this time goes together: a driver that says much costs the agent little. */
const GATHER_MS = 20;
/** More in that time is dropped, the oldest first. */
const MOST_WORDS = 1_000;

/** As docs/drivers.md says it. */
interface DriverModule {
  readonly contract: unknown;
  readonly parse: (options: unknown) => unknown;
  readonly open: (settings: unknown, port: object) => unknown;
}

const { file, options, sensors, events } = workerData as DriverStart;
const tell = (told: DriverTold): void => parentPort?.postMessage(told, []);
const wordsOf = (cause: unknown): string => (cause instanceof Error ? (cause.stack ?? cause.message) : String(cause));
function fail(code: DriverCode, detail: string): void {
  tell({ kind: 'failed', code, detail });
  parentPort?.close();
}

type Word = DriverWord extends infer W ? (W extends DriverWord ? Omit<W, 'agoMs'> : never) : never;
let waiting: (Word & { readonly at: number })[] = [];
function say(word: Word): void {
  if (waiting.length === 0) setTimeout(flush, GATHER_MS);
  waiting.push({ ...word, at: performance.now() });
  if (waiting.length > MOST_WORDS) waiting.shift();
}
function flush(): void {
  const now = performance.now();
  const words = waiting.map(({ at, ...word }) => ({ ...word, agoMs: now - at }));
  waiting = [];
  tell({ kind: 'words', words });
}

/** What a driver has of the agent. */
const port = {
  sensors,
  events,
  sample: (sensor: string, value: unknown) => say({ sensor, value }),
  fault: (sensor: string, reason: unknown) => say({ sensor, reason }),
  event: (event: string, data: unknown = {}) => say({ event, data }),
  lost: (detail: unknown) => fail('driver_lost', String(detail)),
};

async function begin(): Promise<unknown> {
  const { contract, parse, open } = (await import(pathToFileURL(file).href)) as DriverModule;
  const isMade = contract === DRIVER_CONTRACT && typeof parse === 'function' && typeof open === 'function';
  if (!isMade)
    return fail('driver_contract', `it exports contract ${String(contract)}, and this agent has ${DRIVER_CONTRACT}`);
  let settings: unknown;
  try {
    settings = parse(options);
  } catch (cause) {
    return fail('driver_options_invalid', cause instanceof Error ? cause.message : String(cause));
  }
  const opened = await open(settings, port);
  tell({ kind: 'opened' });
  return opened;
}

const opening = begin().catch((cause: unknown) => fail('driver_threw', wordsOf(cause)));
parentPort?.on('message', (order: DriverOrder) => {
  if (order === 'ping') return tell({ kind: 'pong' });
  void opening.then(async (opened) => {
    const close = typeof opened === 'object' && opened !== null && 'close' in opened ? opened.close : null;
    if (typeof close === 'function') await close.call(opened);
    process.exit();
  });
});
