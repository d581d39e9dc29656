import { codeOf } from '../report/log.ts';
import type { Decision } from './attempt.ts';
import { EnrolError } from './enrol-error.ts';
import { speakingKey } from './key-change.ts';
import type { EnrolmentParts } from './parts.ts';
import type { PauseKind } from './pauses.ts';

/** What an attempt came to: the cloud's decision, or what was thrown. */
export type Outcome = Decision | { readonly status: 'failed'; readonly cause: unknown };

/** Of what kind the pause is that an attempt is followed by, and what the cloud wishes. */
export function pauseAfter(outcome: Outcome): { readonly kind: PauseKind; readonly wishedSeconds: number | null } {
  if (outcome.status === 'pending' || outcome.status === 'rejected')
    return { kind: outcome.status, wishedSeconds: outcome.retryAfterSeconds };
  const refusal = refusalOf(outcome);
  return { kind: refusal ? 'refused' : 'unreachable', wishedSeconds: refusal?.retryAfterSeconds ?? null };
}

const refusalOf = (outcome: Outcome): EnrolError['refusal'] =>
  outcome.status === 'failed' && outcome.cause instanceof EnrolError ? outcome.cause.refusal : null;

const REVOKED =
  'The cloud has revoked the key of this device. It takes a new one, and an operator who lets it in: stop the agent, run "paddock-agent rotate-key --discard", and start it again.';

export interface Teller {
  accepted(device: string): void;
  retired(): void;
  /** Goes on; told when it is something else than before. */
  waits(outcome: Outcome, ms: number): void;
}

/** Tells the log, and the console what a person at the device can do something about. */
export function createTeller({ log, say, keys, pin }: EnrolmentParts): Teller {
  const fingerprint = (): string => speakingKey(keys).public.thumbprint;
  const { url } = pin;
  let told = '';
  const once = (what: string, tell: () => void): void => {
    if (what !== told) tell();
    told = what;
  };
  return {
    accepted: (device) =>
      once('accepted', () => {
        log.info({ device, url }, 'The device is enrolled');
        say('enrolled', `Enrolled as ${device}.`);
      }),
    retired: () =>
      once('retired', () => {
        log.error(
          { code: 'enrolment_retired', fingerprint: fingerprint() },
          'The cloud has retired this device for good',
        );
        say('retired', 'The cloud has retired this device for good. It asks no more.');
      }),
    waits(outcome, ms) {
      const thumbprint = fingerprint();
      const fields = { fingerprint: thumbprint, url, againInMs: ms };
      if (outcome.status === 'pending')
        once('pending', () => {
          log.warn({ code: 'enrolment_pending', ...fields }, 'An operator has to let this device in');
          say('pending', `Waiting for an operator of ${url} to let this device in. Its fingerprint: ${thumbprint}`);
        });
      if (outcome.status === 'rejected')
        once('rejected', () => {
          log.error({ code: 'enrolment_rejected', ...fields }, 'An operator has rejected this device');
          say('rejected', `An operator of ${url} has rejected this device. Its fingerprint: ${thumbprint}`);
        });
      if (outcome.status === 'failed') tellFailure(outcome.cause, fields);
    },
  };

  function tellFailure(cause: unknown, fields: object): void {
    const code = (cause instanceof EnrolError && cause.refusal?.code) || codeOf(cause);
    const reason = cause instanceof Error ? cause.message : String(cause);
    once(code, () => {
      log.warn({ code, reason, ...fields }, 'The device cannot enrol or renew now');
      if (code === 'key_revoked') say('revoked', REVOKED);
      else say('waiting', `Cannot enrol at ${url} yet: ${reason} (${code})`);
    });
  }
}
