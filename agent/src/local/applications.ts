import type { Reading } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Clock } from '../ports.ts';
import { createQuiet, type Log } from '../report/log.ts';
import { LocalError } from './problem.ts';
import { readingName } from './reading-name.ts';
import type { HealthBody } from './shapes.ts';

/** What is known of an application; all of it of this start of the agent. */
interface Standing {
  readonly isGood: boolean;
  readonly detail: string | undefined;
  readonly at: UptimeMs;
  readonly segment: number;
  readonly withinMs: number;
  readonly changes: number;
  readonly changedAt: UptimeMs | null;
  readonly heldSince: UptimeMs;
}

/** As it is shown to the kiosk's own software. `silent`: it said nothing for longer than it had announced, or at all. */
export interface ShownApplication {
  readonly status: HealthBody['status'] | 'silent';
  readonly detail?: string;
  readonly ageMs: number | null;
}

/** How the kiosk's own software is, as it says itself: one that stops saying so is not well any more. */
export class Applications {
  readonly #clock: Clock;
  readonly #log: Log;
  /** One a name and what is said of it: who turns all the time does not fill the log. */
  readonly #quiet = new Map<string, ReturnType<typeof createQuiet>>();
  readonly #standings = new Map<string, Standing | null>();
  /** One a name: each word puts it off. */
  readonly #alarms = new Map<string, AbortController>();
  #changed: (reading: string) => void = () => undefined;

  /** @param names of those that have to say how they are */
  constructor(names: readonly string[], clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
    for (const name of names) this.#standings.set(name, null);
  }

  /** @param changed hears the name of each reading that turns, with its word or for the lack of it */
  begin(changed: (reading: string) => void): void {
    this.#changed = changed;
  }

  /** @throws LocalError `application_unknown` */
  report(name: string, { status, detail, withinSeconds }: HealthBody): void {
    const before = this.#standings.get(name);
    if (before === undefined) throw new LocalError('application_unknown', name);
    const [at, segment] = [this.#clock.monotonic(), this.#clock.segment()];
    const known = before !== null && this.#isHeard(before, at) ? before : null;
    const standing = following(before, known, { isGood: status === 'good', detail, at, segment, withinSeconds });
    this.#standings.set(name, standing);
    if (known?.isGood !== standing.isGood) {
      this.#tell(name, status, detail);
      this.#changed(readingName(name));
    }
    void this.#watch(name, standing);
  }

  /** In reports: `true` is well, `false` is not, and no value is no word in time. */
  readings(now: UptimeMs): Record<string, Reading> {
    return Object.fromEntries(
      [...this.#standings].map(([name, standing]) => [readingName(name), this.#readingOf(standing, now)]),
    );
  }

  shown(now: UptimeMs): Record<string, ShownApplication> {
    return Object.fromEntries([...this.#standings].map(([name, standing]) => [name, this.#shownOf(standing, now)]));
  }

  /** Why not all of them are well, by what they said since then; null: they are. */
  faultSince(since: UptimeMs): string | null {
    const now = this.#clock.monotonic();
    for (const [name, standing] of this.#standings) {
      if (standing === null || standing.at < since) return `${name} has not said how it is`;
      if (!this.#isHeard(standing, now)) return `${name} says nothing any more`;
      if (!standing.isGood) return [`${name} is not well`, standing.detail].filter(Boolean).join(': ');
    }
    return null;
  }

  close(): void {
    for (const alarm of this.#alarms.values()) alarm.abort();
  }

  #isHeard({ at, segment, withinMs }: Standing, now: UptimeMs): boolean {
    return segment === this.#clock.segment() && now - at <= withinMs;
  }

  #readingOf(standing: Standing | null, now: UptimeMs): Reading {
    if (standing === null)
      return { value: null, ageMs: null, quality: 'bad', reason: 'no-sample', changes: 0, changedAgoMs: null };
    const { isGood, at, segment, changes, changedAt, heldSince } = standing;
    // Across a suspend no span is known.
    const since = (then: UptimeMs): number | null =>
      segment === this.#clock.segment() ? Math.max(0, Math.floor(now - then)) : null;
    const told = { changes, changedAgoMs: changedAt === null ? null : since(changedAt) };
    if (!this.#isHeard(standing, now))
      return { value: null, ageMs: since(at), quality: 'bad', reason: 'stale', ...told };
    const heldForMs = told.changedAgoMs === null ? since(heldSince) : null;
    return { value: isGood, ageMs: since(at), ...told, ...(heldForMs !== null && { heldForMs }) };
  }

  #shownOf(standing: Standing | null, now: UptimeMs): ShownApplication {
    if (standing === null) return { status: 'silent', ageMs: null };
    const { ageMs } = this.#readingOf(standing, now);
    if (!this.#isHeard(standing, now)) return { status: 'silent', ageMs };
    const { isGood, detail } = standing;
    return { status: isGood ? 'good' : 'bad', ...(detail !== undefined && { detail }), ageMs };
  }

  #tell(name: string, status: ShownApplication['status'], detail?: string): void {
    const key = `${status} ${name}`;
    const quiet = this.#quiet.get(key) ?? createQuiet(this.#clock);
    this.#quiet.set(key, quiet);
    const fields = { code: `application_${status}`, application: name, detail };
    const told = status === 'good' ? 'info' : 'warn';
    quiet((times) => this.#log[told]({ ...fields, times }, APPLICATION_WORDS[status]));
  }

  /** One that stops saying how it is turns when its time is over, and not when somebody happens to look. */
  async #watch(name: string, standing: Standing): Promise<void> {
    const alarm = new AbortController();
    this.#alarms.get(name)?.abort();
    this.#alarms.set(name, alarm);
    while (!alarm.signal.aborted && this.#isHeard(standing, this.#clock.monotonic()))
      await this.#clock.sleep(standing.withinMs + 1 - (this.#clock.monotonic() - standing.at), alarm.signal);
    if (alarm.signal.aborted) return;
    this.#tell(name, 'silent');
    this.#changed(readingName(name));
  }
}

const APPLICATION_WORDS = {
  good: 'An application says: good',
  bad: 'An application says: bad',
  silent: 'An application says nothing any more',
} as const satisfies Record<ShownApplication['status'], string>;

type Word = Pick<Standing, 'isGood' | 'detail' | 'at' | 'segment'> & Pick<HealthBody, 'withinSeconds'>;

/** @param known what was believed until now; null when that was nothing */
function following(before: Standing | null, known: Standing | null, { withinSeconds, ...word }: Word): Standing {
  const { at, segment, isGood } = word;
  const told = { ...word, withinMs: withinSeconds * 1000 };
  if (before === null) return { ...told, changes: 0, changedAt: null, heldSince: at };
  if (before.isGood !== isGood) return { ...told, changes: before.changes + 1, changedAt: at, heldSince: at };
  const changedAt = before.segment === segment ? before.changedAt : null;
  return { ...told, changes: before.changes, changedAt, heldSince: known?.heldSince ?? at };
}
