import { DesiredOutputs, type DesiredError, type DesiredOutput, type ReportedOutput } from '@paddock/shared/desired.ts';
import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import { Check } from 'typebox/value';
import type { Moment } from '../clock/exchange.ts';
import type { Clock } from '../ports.ts';
import type { Log } from '../report/log.ts';
import type { Outputs } from './outputs.ts';
import type { ActConfig, OutputConfig } from './settings.ts';
import { judgeWish, reportedOf, unknownOutput, type JudgedWish } from './standing.ts';
import { hear, NO_WORD, PHASES, phaseOf, type Phase, type Policy, type Word } from './when-away.ts';

/** How long applying waits for hardware, so that one report tells all of it. */
const SETTLE_MS = 500;
const SETTLE_EVERY_MS = 10;
/** Changes that come together are reported together. */
const GATHER_MS = 250;
/** The cloud is asked for its word when this part of what its silence may last is over. */
const ASKS_IN = 3;
const LOOK_MS = 1_000;
const IDLE_MS = 3_600_000;
/** After so many that nobody answered it is asked less and less often: reports that wait take the room of others. */
const EAGER_ASKS = 2;
const LONGEST_PAUSE_MS = 300_000;
/** A report has room for so many outputs that the device does not have. */
const MOST_UNKNOWN = 8;
const DETAIL_CHARS = 200;

export interface DesiredOutputsParts extends ActConfig {
  readonly outputs: ActConfig['outputs'];
  readonly driven: Pick<Outputs, 'set' | 'states' | 'watch'>;
  readonly clock: Clock;
  readonly log: Log;
}

interface Kept {
  readonly config: OutputConfig;
  desired: DesiredOutput | undefined;
  judged: JudgedWish | null;
  word: Word;
  phase: Phase;
}

const HOLD: Policy = { kind: 'hold' };

/** The key `outputs`: takes hardware to what is desired, or to safety when the cloud is away and that is the policy. */
export class OutputsKey {
  readonly #parts: DesiredOutputsParts;
  readonly #kept: ReadonlyMap<string, Kept>;
  readonly #stopping = new AbortController();
  #unknown: ReadonlyMap<string, DesiredOutput> = new Map();
  #woken = new AbortController();
  #askedAt: UptimeMs;
  /** Since the last answer. */
  #asks = 0;
  #told = '';
  #isTelling = false;
  #hears: { readonly changed: () => void; readonly ask: () => void } | null = null;

  constructor(parts: DesiredOutputsParts) {
    this.#parts = parts;
    this.#askedAt = parts.clock.monotonic();
    this.#kept = new Map(
      Object.entries(parts.outputs).map(([name, config]) => [
        name,
        { config, desired: undefined, judged: null, word: NO_WORD, phase: 'own' },
      ]),
    );
  }

  async apply(value: unknown): Promise<DesiredError | null> {
    const isGood = value === undefined || Check(DesiredOutputs, value);
    const desired: DesiredOutputs = isGood ? (value ?? {}) : {};
    for (const [name, kept] of this.#kept) {
      const own = Object.hasOwn(desired, name) ? desired[name] : undefined;
      kept.desired = own;
      kept.judged = own === undefined ? null : judgeWish(kept.config, own);
      const isWish = kept.judged !== null && 'wish' in kept.judged;
      kept.word = hear(kept.word, { kind: isWish ? 'desired' : 'gone' });
    }
    const strange = Object.entries(desired).filter(([name]) => !this.#kept.has(name));
    this.#unknown = new Map(strange.slice(0, MOST_UNKNOWN));
    this.#settle();
    this.#woken.abort();
    await this.#arrival();
    return isGood ? null : { code: 'desired_value_invalid' };
  }

  standing(): DesiredError | null {
    const states = Object.entries(this.reported() ?? {}).filter(([, { desired }]) => desired !== undefined);
    const failed = states.filter(([, { state }]) => state === 'failed');
    const waiting = states.filter(([, { state }]) => state !== 'failed' && state !== 'applied');
    const [code, named] =
      failed.length > 0 ? (['outputs_failed', failed] as const) : (['outputs_pending', waiting] as const);
    if (named.length === 0) return null;
    const detail = named.map(([name, { state, error }]) => `${name}: ${error?.code ?? state}`).join(', ');
    return { code, detail: detail.slice(0, DETAIL_CHARS) };
  }

  /** @returns null where there is none, and none is desired */
  reported(): Record<string, ReportedOutput> | null {
    if (this.#kept.size === 0 && this.#unknown.size === 0) return null;
    const states = this.#parts.driven.states();
    const known = [...this.#kept].flatMap(([name, { phase, desired, judged }]): [string, ReportedOutput][] => {
      const state = states[name];
      const refused = judged !== null && 'code' in judged ? judged.code : null;
      return state === undefined ? [] : [[name, reportedOf(state, phase, desired, refused)]];
    });
    const unknown = [...this.#unknown].map(([name, desired]): [string, ReportedOutput] => [
      name,
      unknownOutput(desired),
    ]);
    return Object.fromEntries([...known, ...unknown]);
  }

  answered(asked: Moment, isCurrent: boolean): void {
    for (const kept of this.#kept.values()) kept.word = hear(kept.word, { kind: 'answered', asked, isCurrent });
    const { clock } = this.#parts;
    const [now, shortest] = [clock.monotonic(), this.#shortestMs()];
    this.#askedAt = now;
    this.#asks = 0;
    this.#settle();
    this.#woken.abort();
    // It answers what was sent long ago, so it proves little; but whoever answers is there to be asked again.
    if (shortest !== null && now - asked.at > shortest / ASKS_IN) this.#hears?.ask();
  }

  /** Sooner than it is asked for, so that whatever is reported then asks. */
  askAfterMs(): number | null {
    const shortest = this.#shortestMs();
    return shortest === null ? null : shortest / (ASKS_IN + 1);
  }

  begin(hears: { readonly changed: () => void; readonly ask: () => void }): void {
    this.#hears = hears;
    this.#told = this.#image();
    this.#parts.driven.watch(() => this.#changed());
    if (this.#kept.size > 0) void this.#keep();
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** Of all that holds only as long as the cloud is there. */
  #shortestMs(): number | null {
    const periods = [...this.#kept.values()].flatMap((kept) => {
      const policy = policyOf(kept);
      return kept.word.isDesired && policy.kind !== 'hold' ? [policy.ms] : [];
    });
    return periods.length === 0 ? null : Math.min(...periods);
  }

  /** Time goes on by itself. */
  async #keep(): Promise<void> {
    const { clock } = this.#parts;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#woken = new AbortController();
      const endsAt = this.#settle();
      const asksAt = this.#askInTime();
      const now = clock.monotonic();
      const waits = [endsAt, asksAt].flatMap((at) => (at === null ? [] : [Math.max(1, at - now)]));
      // A suspend ends what is held, and shows only when it is looked for.
      const mostMs = asksAt === null ? IDLE_MS : LOOK_MS;
      await clock.sleep(Math.min(mostMs, ...waits), AbortSignal.any([signal, this.#woken.signal]));
    }
  }

  /** @returns when the cloud is asked for its word again; null: nothing depends on it */
  #askInTime(): UptimeMs | null {
    const shortest = this.#shortestMs();
    if (shortest === null) return null;
    const now = this.#parts.clock.monotonic();
    if (now - this.#askedAt >= this.#pauseMs(shortest)) {
      this.#askedAt = now;
      this.#asks += 1;
      this.#hears?.ask();
    }
    return uptimeMs(this.#askedAt + this.#pauseMs(shortest));
  }

  #pauseMs(shortest: number): number {
    const eagerMs = shortest / ASKS_IN;
    return Math.max(eagerMs, Math.min(LONGEST_PAUSE_MS, eagerMs * 2 ** Math.max(0, this.#asks - EAGER_ASKS)));
  }

  /** Takes every output to where its phase has it. @returns when the next phase ends */
  #settle(): UptimeMs | null {
    const { clock, driven } = this.#parts;
    const now = { at: clock.monotonic(), segment: clock.segment() };
    const ends = [...this.#kept].flatMap(([name, kept]) => {
      const { phase, endsAt } = phaseOf(policyOf(kept), kept.word, now);
      const wish = kept.judged !== null && 'wish' in kept.judged ? kept.judged.wish : null;
      driven.set(name, PHASES[phase].holds === 'desired' && wish !== null ? wish.value : null);
      this.#enter(name, kept, phase);
      return endsAt === null ? [] : [endsAt];
    });
    this.#changed();
    return ends.length === 0 ? null : uptimeMs(Math.min(...ends));
  }

  #enter(name: string, kept: Kept, phase: Phase): void {
    const before = kept.phase;
    kept.phase = phase;
    if (phase === before) return;
    const { log } = this.#parts;
    // What is taken up long after the last word is safe for the moment that the next one takes.
    if (phase === 'away' && before === 'held')
      log.warn({ code: 'output_away', output: name }, 'The cloud is away: the output is safe');
    if (phase === 'held' && before === 'away')
      log.info({ code: 'output_back', output: name }, 'The cloud is back: the output is as it is desired');
  }

  /** Until all of it is there, or failed, or takes longer than is worth waiting for. */
  async #arrival(): Promise<void> {
    const { clock } = this.#parts;
    const until = clock.monotonic() + SETTLE_MS;
    const isMoving = (): boolean => Object.values(this.reported() ?? {}).some(({ state }) => state === 'pending');
    while (isMoving() && clock.monotonic() < until) await clock.sleep(SETTLE_EVERY_MS, this.#stopping.signal);
  }

  #image(): string {
    return JSON.stringify(this.reported());
  }

  #changed(): void {
    if (this.#hears === null || this.#isTelling || this.#stopping.signal.aborted || this.#image() === this.#told)
      return;
    this.#isTelling = true;
    void this.#parts.clock.sleep(GATHER_MS, this.#stopping.signal).then(() => {
      this.#isTelling = false;
      if (this.#stopping.signal.aborted || this.#image() === this.#told) return;
      this.#told = this.#image();
      this.#hears?.changed();
      this.#pause();
    });
  }

  /** Hardware that comes and goes all the time is told of once a second. */
  #pause(): void {
    this.#isTelling = true;
    void this.#parts.clock.sleep(1000, this.#stopping.signal).then(() => {
      this.#isTelling = false;
      this.#changed();
    });
  }
}

const policyOf = ({ judged }: Kept): Policy => (judged !== null && 'wish' in judged ? judged.wish.policy : HOLD);
