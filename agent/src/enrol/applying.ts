import { EnrolError } from './enrol-error.ts';
import { claimDigest, keepHeld, type Held } from './held.ts';
import { endorsementFor, speakingKey } from './key-change.ts';
import type { EnrolmentParts } from './parts.ts';
import type { Applicant } from './request.ts';
import { newTlsKey } from './tls-key.ts';

/** Refusals of the claim, whatever is wrong with it or its batch: without it a human decides. */
const CLAIM_REFUSED = /^(claim|batch)_/;
/** The current key was taken back before it endorsed, or the cloud does not know it: the next one needs a human, too. */
const ENDORSEMENT_REFUSED = /^(endorsement_invalid|key_revoked)$/;

/** What vouches for a device whose key the cloud does not know yet. */
export interface Vouchers {
  /** Null when there is none that is worth showing. */
  claim(): Promise<string | null>;
  endorsement(device: string | null, nonce: string): Promise<string | null>;
  /** @returns whether the cloud refused one of them, and asking without it is something else */
  setAside(cause: unknown): Promise<boolean>;
}

export function createVouchers(held: Held, parts: EnrolmentParts): Vouchers {
  const { pin, keys, log } = parts;
  let shown = { claim: false, endorsement: false };
  let endorses = true;
  return {
    async claim() {
      // A device that was let in is known by its key.
      const isOver = pin.claim === null || (held.record?.member ?? null) !== null;
      const claim = isOver || held.record?.refusedClaim === (await claimDigest(pin.claim)) ? null : pin.claim;
      shown = { ...shown, claim: claim !== null };
      return claim;
    },
    async endorsement(device, nonce) {
      const endorsement = endorses ? await endorsementFor(keys, device, nonce) : null;
      shown = { ...shown, endorsement: endorsement !== null };
      return endorsement;
    },
    async setAside(cause) {
      const code = cause instanceof EnrolError ? (cause.refusal?.code ?? '') : '';
      if (shown.claim && pin.claim !== null && CLAIM_REFUSED.test(code)) {
        log.warn({ code }, 'The cloud refuses the claim: the device asks without it');
        await keepHeld(held, parts, { refusedClaim: await claimDigest(pin.claim) });
        return true;
      }
      if (!shown.endorsement || !ENDORSEMENT_REFUSED.test(code)) return false;
      log.warn({ code }, 'The cloud refuses the old key: the device asks with the new one alone');
      endorses = false;
      return true;
    },
  };
}

/** Who asks, with a TLS key that is made for this request. */
export async function applicantOf(
  held: Held,
  parts: EnrolmentParts,
  vouchers: Vouchers,
  nonce: string,
): Promise<Applicant> {
  const { signer, public: publicKey } = speakingKey(parts.keys);
  const device = held.record?.member?.device ?? parts.device;
  const [claim, endorsement] = [await vouchers.claim(), await vouchers.endorsement(device, nonce)];
  return { signer, publicKey, tlsKey: newTlsKey(), device, facts: parts.facts, claim, endorsement };
}
