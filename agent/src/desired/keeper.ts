import type { Desired, ReportedDesired } from '@paddock/shared/desired.ts';
import type { Inflate } from '@paddock/shared/envelope.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import type { Moment } from '../clock/exchange.ts';
import type { TrustedInterval } from '../clock/trusted-time.ts';
import type { Clock, Disk } from '../ports.ts';
import { codeOf, createQuiet, type Log } from '../report/log.ts';
import { applyState, standingErrors, type Handlers, type KeyErrors } from './apply.ts';
import { DESIRED_NOTES, DESIRED_REFUSALS, DESIRED_WAITS } from './codes.ts';
import { DESIRED_FILE, formatTakenUp, parseTakenUp, type TakenUp } from './file.ts';
import { compareVersions, judge, type Version } from './judge.ts';
import { openDesiredMessage } from './open.ts';

/** Messages that wait to be verified: whoever may publish on our topic must not fill the memory. */
const WAITING = 8;
/** How often, and how many times, it is looked whether what is waited for has come; after that with each answer. */
const LOOK_EVERY_MS = 5_000;
const LOOKS = 60;
/** How long a version may be on its way after an answer named it. */
const ON_ITS_WAY_MS = 120_000;

export interface DesiredParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly inflater: Inflate;
  readonly time: { readonly at: (moment: Moment) => TrustedInterval };
  readonly handlers: Handlers;
}

export interface DesiredOptions {
  readonly device: string;
  readonly incarnation: string;
  readonly keys: () => readonly VerificationKey[];
  /** Of the newest list of keys; null for a device that has none. */
  readonly epoch: () => number | null;
  /** A message is by a key, or of an epoch, that the list of keys does not have: a newer one has to be fetched. */
  readonly listBehind: (epoch: number | null) => void;
}

export interface DesiredKeeper {
  /** Hears every message. Resolves when it was handled. */
  message(topic: string, payload: string): Promise<void>;
  /** An answer was taken, which says what is current. Resolves when what waited for it was looked at. */
  answered(current: Version): Promise<void>;
  /** What holds on this device, and what does not come; null when nothing was ever taken up and nothing is missed. */
  reported(): ReportedDesired | null;
  /** The same with all of its state, for the kiosk's own software. */
  shown(): (ReportedDesired & Pick<Desired, 'state'>) | null;
  /** @param changed called when what is reported has changed */
  begin(changed: () => void): void;
  stop(): Promise<void>;
}

/** Version 0 is what holds where nothing was taken up. */
const NOTHING = { epoch: 0, version: 0, errors: {} } as const;

/** Good so far, or by a key that is not known yet: judged again when there is news. The newest of each. */
interface Pending {
  verified: Desired | null;
  /** With the keys that did not verify it: only others may. */
  unverified: { readonly text: string; readonly keys: string } | null;
}

/**
 * Takes desired state up and applies it: at the start what was taken up before, then whatever is newer. All of it one
 * after the other, and on the disk before it is applied.
 */
export async function keepDesired(parts: DesiredParts, options: DesiredOptions): Promise<DesiredKeeper> {
  const { log } = parts;
  const keeper = new Keeper(parts, options);
  const found = await parts.disk.read(DESIRED_FILE).then(parseTakenUp);
  if (found === 'damaged') log.warn({ code: 'desired_damaged' }, DESIRED_NOTES.desired_damaged);
  // What another life took up is not this one's: the cloud sends it again for this one.
  const own = typeof found !== 'string' && found.incarnation === options.incarnation ? found : null;
  await keeper.resume(own);
  return keeper;
}

class Keeper implements DesiredKeeper {
  readonly #parts: DesiredParts;
  readonly #options: DesiredOptions;
  readonly #stopping = new AbortController();
  readonly #pending: Pending = { verified: null, unverified: null };
  readonly #quiet = new Map<string, (tell: (times: number) => void) => void>();
  #taken: TakenUp | null = null;
  #current: Version | null = null;
  #applied: (Version & { readonly errors: KeyErrors }) | null = null;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;
  #isLooking = false;
  #looksLeft = 0;
  #missed: Version | null = null;
  #withheld: Version | null = null;
  #changed = (): void => undefined;

  constructor(parts: DesiredParts, options: DesiredOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /** What was taken up stays, after its expiry too. */
  async resume(taken: TakenUp | null): Promise<void> {
    this.#taken = taken;
    if (taken !== null) await this.#apply(taken);
  }

  begin(changed: () => void): void {
    this.#changed = changed;
  }

  async message(topic: string, payload: string): Promise<void> {
    // Empty: what was retained is taken away, which says nothing of what was taken up.
    if (topic !== topicOf('desired', this.#options.device) || payload === '') return;
    if (this.#waiting >= WAITING) return this.#tell('desired_flood', DESIRED_REFUSALS.desired_flood);
    this.#waiting += 1;
    await this.#inTurn(async () => {
      this.#waiting -= 1;
      await this.#read(payload);
    });
  }

  async answered(current: Version): Promise<void> {
    this.#current = current;
    this.#watchFor(current);
    await this.#inTurn(() => this.#lookAgain());
  }

  reported(): ReportedDesired | null {
    const withheld = this.#withheld !== null && !this.#has(this.#withheld) ? this.#withheld : null;
    if (this.#applied === null && withheld === null) return null;
    const { epoch, version, errors: ofApplying } = this.#applied ?? NOTHING;
    const errors = this.#applied === null ? {} : standingErrors(ofApplying, this.#parts.handlers);
    return {
      epoch,
      version,
      ...(Object.keys(errors).length > 0 && { errors: { ...errors } }),
      ...(withheld && { withheld }),
    };
  }

  shown(): (ReportedDesired & Pick<Desired, 'state'>) | null {
    const reported = this.reported();
    return reported === null ? null : { ...reported, state: this.#taken?.state ?? {} };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#last;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(() => (this.#stopping.signal.aborted ? undefined : work()));
    return this.#last;
  }

  async #read(text: string): Promise<void> {
    const { device, keys, listBehind } = this.#options;
    const { inflater } = this.#parts;
    try {
      const desired = await openDesiredMessage(text, { device, keys: keys(), inflater });
      await this.#judge(desired);
    } catch (cause) {
      const code = codeOf(cause);
      if (code !== 'key_unknown') return this.#tell(code, 'Desired state was not taken up', cause);
      this.#pending.unverified = { text, keys: this.#keyIds() };
      this.#tell('desired_waits_for_keys', DESIRED_WAITS.desired_waits_for_keys);
      listBehind(null);
      this.#lookLater();
    }
  }

  async #judge(desired: Desired): Promise<void> {
    const { clock, time } = this.#parts;
    const { incarnation, epoch, listBehind } = this.#options;
    const trusted = time.at({ at: clock.monotonic(), segment: clock.segment() });
    const context = { incarnation, epoch: epoch(), floor: this.#taken, current: this.#current, trusted };
    const verdict = judge(desired, context);
    if (verdict.kind === 'take') return this.#take(desired);
    if (verdict.kind === 'refuse') return this.#tell(verdict.code, DESIRED_REFUSALS[verdict.code]);
    if (verdict.kind === 'known') return;
    this.#tell(verdict.code, DESIRED_WAITS[verdict.code]);
    if (verdict.code === 'desired_waits_for_keys') listBehind(desired.epoch);
    this.#hold(desired);
  }

  #hold(desired: Desired): void {
    const { verified } = this.#pending;
    if (verified === null || compareVersions(desired, verified) >= 0) this.#pending.verified = desired;
    if (!this.#isLooking) this.#lookLater();
  }

  /** Invariant: the floor is on the disk before anything is applied. */
  async #take(desired: Desired): Promise<void> {
    const { disk } = this.#parts;
    const { incarnation, epoch, version, state } = desired;
    const taken = { incarnation, epoch, version, state };
    try {
      await disk.replace(DESIRED_FILE, await formatTakenUp(taken));
    } catch (cause) {
      this.#tell('desired_unkept', DESIRED_NOTES.desired_unkept, cause);
      return this.#hold(desired);
    }
    this.#taken = taken;
    this.#missed = null;
    await this.#apply(taken);
    this.#changed();
  }

  async #apply({ epoch, version, state }: TakenUp): Promise<void> {
    const errors = await applyState(state, this.#parts.handlers);
    this.#applied = { epoch, version, errors };
    const fields = { code: 'desired_applied', epoch, version, keys: Object.keys(state), errors };
    this.#parts.log.info(fields, 'Desired state is applied');
  }

  async #lookAgain(): Promise<void> {
    const { verified, unverified } = this.#pending;
    this.#pending.verified = null;
    if (verified !== null) await this.#judge(verified);
    if (unverified === null || unverified.keys === this.#keyIds()) return;
    this.#pending.unverified = null;
    await this.#read(unverified.text);
  }

  #keyIds(): string {
    return this.#options
      .keys()
      .map(({ keyId }) => keyId)
      .join();
  }

  #lookLater(): void {
    this.#looksLeft = LOOKS;
    if (!this.#isLooking) void this.#look();
  }

  async #look(): Promise<void> {
    const { signal } = this.#stopping;
    this.#isLooking = true;
    for (; this.#looksLeft > 0 && !signal.aborted; this.#looksLeft -= 1) {
      await this.#parts.clock.sleep(LOOK_EVERY_MS, signal);
      await this.#inTurn(() => this.#lookAgain());
      if (this.#pending.verified === null && this.#pending.unverified === null) break;
    }
    this.#isLooking = false;
  }

  /** Said once for a version that answers name and that does not come. */
  #watchFor(current: Version): void {
    const { clock, log } = this.#parts;
    if (this.#has(current) || (this.#missed !== null && compareVersions(current, this.#missed) <= 0)) return;
    this.#missed = current;
    void clock.sleep(ON_ITS_WAY_MS, this.#stopping.signal).then(() => {
      if (this.#stopping.signal.aborted || this.#has(current)) return;
      const held = this.#taken && { epoch: this.#taken.epoch, version: this.#taken.version };
      log.warn({ code: 'desired_withheld', current, held }, DESIRED_NOTES.desired_withheld);
      this.#withheld = { epoch: current.epoch, version: current.version };
      this.#changed();
    });
  }

  /** Version 0 is nothing that could come. */
  #has(current: Version): boolean {
    return current.version === 0 || (this.#taken !== null && compareVersions(this.#taken, current) >= 0);
  }

  /** At most once a minute for each code, with how often it was. */
  #tell(code: string, message: string, cause?: unknown): void {
    const quiet = this.#quiet.get(code) ?? createQuiet(this.#parts.clock);
    this.#quiet.set(code, quiet);
    quiet((times) => this.#parts.log.warn({ code, times, ...(cause !== undefined && { err: cause }) }, message));
  }
}
