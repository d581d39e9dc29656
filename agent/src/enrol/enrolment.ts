import type { Clock } from '../ports.ts';
import { isKeyChangeWanted } from './key-change.ts';
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
  keep(stop: AbortSignal, quiet: Quiet): Promise<'retired' | 'stopped'>;
  linkUp(): void;
  linkDown(code: string | undefined): void;
  /** An answer was signed by a key that the list of keys does not name. */
  keyUnknown(): void;
  /** An answer says which list of keys is the newest. */
  keyListSeen(version: number, epoch: number): void;
}

/**
 * Does something while no report is made, once the cloud has all that there are.
 * @returns false when it was not done, because that did not come about
 */
export type Quiet = (work: () => Promise<unknown>) => Promise<boolean>;

type Due = 'certificate' | 'keys' | 'key change';

/** @throws what the disk throws */
export async function openEnrolment(parts: EnrolmentParts): Promise<Enrolment> {
  const membership = await openMembership(parts);
  const teller = createTeller(parts);
  let trouble = NO_TROUBLE;
  let wantsKeys = false;
  let renewals = 0;
  const due = async (): Promise<Due | null> => {
    if (membership.isRenewalDue(trouble)) return 'certificate';
    if (wantsKeys) return 'keys';
    return (await isKeyChangeWanted(parts.disk)) ? 'key change' : null;
  };
  const ask = (what: Due, quiet: Quiet): Promise<Outcome | null> => {
    if (what === 'key change') return changeKey(membership, parts, quiet).catch(failed);
    return what === 'certificate' ? outcomeOf(membership) : refreshed(membership);
  };
  /** @returns how long to wait before the next attempt, in ms; null for ever */
  const renew = async (what: Due, quiet: Quiet): Promise<number | null> => {
    const outcome = await ask(what, quiet);
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
    async keep(stop, quiet) {
      let notBefore = 0;
      while (!stop.aborted) {
        await parts.clock.sleep(LOOK_EVERY_MS, stop);
        const what = stop.aborted || parts.clock.monotonic() < notBefore ? null : await due();
        const ms = what === null ? 0 : await renew(what, quiet);
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
    keyListSeen(version, epoch) {
      if (membership.isListBehind(version, epoch)) wantsKeys = true;
    },
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

/**
 * The next key is made when the cloud has everything that the current one signed, and speaks from then on: the request
 * may reach the cloud although its answer is lost, and then the current key is believed no more. Before that it is seen
 * whether the service can be reached at all.
 * @returns null when reports are still waiting for their answers
 */
async function changeKey(membership: Membership, parts: EnrolmentParts, quiet: Quiet): Promise<Outcome | null> {
  await membership.refreshKeys();
  if (await quiet(() => parts.keys.begin())) return membership.ask();
  parts.log.info({ code: 'key_change_waits' }, 'The identity key is changed as soon as the cloud has every report');
  return null;
}

const failed = (cause: unknown): Outcome => ({ status: 'failed', cause });
const outcomeOf = (membership: Membership): Promise<Outcome> => membership.ask().catch(failed);
const refreshed = (membership: Membership): Promise<Outcome | null> =>
  membership.refreshKeys().then(() => null, failed);
