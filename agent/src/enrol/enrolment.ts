import type { Clock } from '../ports.ts';
import { openMembership, type Membership, type Standing } from './membership.ts';
import { pauseMs } from './pauses.ts';
import type { EnrolmentParts } from './parts.ts';
import { linkFailed, NO_TROUBLE } from './renewal.ts';
import { createTeller, pauseAfter, type Outcome, type Teller } from './telling.ts';

/** How often it is looked whether something is due. */
const LOOK_EVERY_MS = 30_000;

export interface Enrolment {
  /** As it is on the disk now; null until the device is let in. */
  standing(): Standing | null;
  /** Asks until the device is let in, or the signal aborts. */
  join(stop: AbortSignal): Promise<'accepted' | 'retired' | 'stopped'>;
  /** Renews certificate and keys until the signal aborts, or the device is retired. */
  keep(stop: AbortSignal): Promise<'retired' | 'stopped'>;
  linkUp(): void;
  linkDown(code: string | undefined): void;
  /** An answer was signed by a key that the list of keys does not name. */
  keyUnknown(): void;
}

/** @throws what the disk throws */
export async function openEnrolment(parts: EnrolmentParts): Promise<Enrolment> {
  const membership = await openMembership(parts);
  const teller = createTeller(parts);
  let trouble = NO_TROUBLE;
  let wantsKeys = false;
  let renewals = 0;
  const due = (): 'certificate' | 'keys' | null =>
    membership.isRenewalDue(trouble) ? 'certificate' : wantsKeys ? 'keys' : null;
  /** @returns how long to wait before the next attempt, in ms; null for ever */
  const renew = async (what: 'certificate' | 'keys'): Promise<number | null> => {
    const outcome = await (what === 'certificate' ? outcomeOf(membership) : refreshed(membership));
    wantsKeys = false;
    if (outcome?.status === 'retired') {
      teller.retired();
      return null;
    }
    const isDone = outcome === null || outcome.status === 'accepted';
    const wished = outcome && !isDone ? pauseAfter(outcome).wishedSeconds : null;
    // A broker that refuses the new certificate as well must not make us fetch one a minute.
    const ms = pauseMs('renewal', renewals, wished, parts.random());
    renewals = isDone && trouble.failures === 0 ? 0 : renewals + 1;
    trouble = isDone ? NO_TROUBLE : trouble;
    if (outcome?.status === 'accepted') parts.log.info({}, 'The certificate is renewed');
    else if (outcome) teller.waits(outcome, ms);
    return ms;
  };
  return {
    standing: () => membership.standing(),
    join: (stop) => join(membership, teller, parts, stop),
    async keep(stop) {
      let notBefore = 0;
      while (!stop.aborted) {
        await parts.clock.sleep(LOOK_EVERY_MS, stop);
        const what = stop.aborted || parts.clock.monotonic() < notBefore ? null : due();
        const ms = what === null ? 0 : await renew(what);
        if (ms === null) return 'retired';
        if (ms > 0) notBefore = parts.clock.monotonic() + ms;
      }
      return 'stopped';
    },
    linkUp() {
      trouble = NO_TROUBLE;
      renewals = 0;
    },
    linkDown: (code) => void (trouble = linkFailed(trouble, code)),
    keyUnknown: () => void (wantsKeys = true),
  };
}

async function join(
  membership: Membership,
  teller: Teller,
  { clock, random }: { readonly clock: Clock; readonly random: () => number },
  stop: AbortSignal,
): Promise<'accepted' | 'retired' | 'stopped'> {
  let same = 0;
  let before = '';
  while (!stop.aborted) {
    const outcome: Outcome = membership.isRetired() ? { status: 'retired' } : await outcomeOf(membership);
    if (outcome.status === 'accepted') teller.accepted(outcome.member.device);
    if (outcome.status === 'retired') teller.retired();
    if (outcome.status === 'accepted' || outcome.status === 'retired') return outcome.status;
    const { kind, wishedSeconds } = pauseAfter(outcome);
    same = kind === before ? same + 1 : 0;
    before = kind;
    const ms = pauseMs(kind, same, wishedSeconds, random());
    teller.waits(outcome, ms);
    await clock.sleep(ms, stop);
  }
  return 'stopped';
}

const failed = (cause: unknown): Outcome => ({ status: 'failed', cause });
const outcomeOf = (membership: Membership): Promise<Outcome> => membership.ask().catch(failed);
const refreshed = (membership: Membership): Promise<Outcome | null> =>
  membership.refreshKeys().then(() => null, failed);
