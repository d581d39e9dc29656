import { TROUBLES, type Trouble, type TroubleCode } from '@paddock/shared/began.ts';
import type { Vitals } from '../ports-past.ts';
import type { Clock } from '../ports.ts';
import { codeOf, type Log } from '../report/log.ts';
import type { Recorder } from './recorder.ts';

/** How often it is looked whether the event loop is on time: what holds it up for longer is surely seen. */
const BEAT_MS = 10_000;
/** From here on the loop is late, and says so. */
const LATE_MS = 1_000;
const BEATS_PER_LOOK = 6;
/** Once an hour: each costs the disk a page. While the cloud hears the device, that knows its last sign of life better. */
const BEATS_PER_PULSE = 360;
const LOOK_WITHIN_MS = 5_000;

export interface PulseParts {
  readonly clock: Clock;
  readonly vitals: Vitals;
  readonly recorder: Recorder;
  readonly log: Pick<Log, 'warn' | 'info'>;
}

export interface Pulse {
  /** What is wrong with the machine, as it said last. */
  troubles(): readonly Trouble[];
  /** An error of the disk was met. */
  diskFailed(): void;
  stop(): Promise<void>;
}

/** Writes down now and then how the agent is, and looks at the machine every minute. */
export function startPulse({ clock, vitals, recorder, log }: PulseParts): Pulse {
  const stopping = new AbortController();
  let found: readonly Trouble[] = [];
  let failures = 0;
  let latestMs = 0;
  let looking = false;
  const troubles = (): readonly Trouble[] =>
    failures === 0 ? found : [...found, { code: 'disk_failing' satisfies TroubleCode, count: failures }];
  const look = async (): Promise<void> => {
    // While one look hangs, no other is begun.
    if (looking) return;
    looking = true;
    const before = found;
    found = await vitals.troubles().catch(() => before);
    looking = false;
    tellChanges(log, before, found);
  };
  const beat = async (count: number): Promise<void> => {
    const before = clock.monotonic();
    await clock.sleep(BEAT_MS, stopping.signal);
    if (stopping.signal.aborted) return;
    const lateMs = Math.round(clock.monotonic() - before - BEAT_MS);
    latestMs = Math.max(latestMs, lateMs);
    if (lateMs >= LATE_MS) log.warn({ code: 'loop_late', lateMs }, 'The event loop was held up');
    if (count % BEATS_PER_LOOK === 0) await Promise.race([look(), clock.sleep(LOOK_WITHIN_MS, stopping.signal)]);
    if (count % BEATS_PER_PULSE !== 0) return;
    recorder.pulse({ ...vitals.memory(), lateMs: latestMs });
    latestMs = 0;
  };
  const run = async (): Promise<void> => {
    await Promise.race([look(), clock.sleep(LOOK_WITHIN_MS, stopping.signal)]);
    for (let count = 1; !stopping.signal.aborted; count += 1) await beat(count);
  };
  const running = run().catch((cause: unknown) =>
    log.warn({ code: codeOf(cause), err: cause }, 'The pulse of the agent stopped'),
  );
  return {
    troubles,
    diskFailed: () => void (failures += 1),
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** What is counted may go on counting. */
const keyOf = ({ code, part = '' }: Trouble): string => `${code} ${part}`;

function tellChanges(log: PulseParts['log'], before: readonly Trouble[], now: readonly Trouble[]): void {
  const [had, has] = [new Set(before.map(keyOf)), new Set(now.map(keyOf))];
  for (const trouble of now) {
    const text = Object.hasOwn(TROUBLES, trouble.code) ? TROUBLES[trouble.code as TroubleCode] : trouble.code;
    if (!had.has(keyOf(trouble))) log.warn({ ...trouble }, text);
  }
  for (const trouble of before)
    if (!has.has(keyOf(trouble))) log.info({ ...trouble }, 'A trouble of the machine is over');
}
