import type { Enrolled } from '@paddock/shared/enrolment.ts';
import { seal, type Signing } from '@paddock/shared/envelope.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import { toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Issued } from '../trust/authority.ts';
import type { ProvedRequest } from './request.ts';

/** A device that gets its answer later has asked again since. */
const VALID_FOR_MS = 300_000;

export type Outcome = Pick<Enrolled, 'status' | 'device' | 'certificate' | 'mqttUrl' | 'keyList' | 'retryAfterSeconds'>;

/** A certificate as it travels. */
export const certificateOf = ({ chain, notBefore, notAfter, renewAfter }: Issued): Enrolled['certificate'] => ({
  chain: chain.map((der) => Buffer.from(der).toString('base64url')),
  notBefore: toInstant(notBefore),
  notAfter: toInstant(notAfter),
  renewAfter: toInstant(renewAfter),
});

/** Bound to the nonce and to the digest of its request. @returns an envelope of kind `enrolled` */
export function sealAnswer(
  { request, digest }: ProvedRequest,
  outcome: Outcome,
  { receivedAt, sentAt, signing }: { receivedAt: WallMs; sentAt: WallMs; signing: Signing },
): Promise<string> {
  const answer: Enrolled = {
    v: PAYLOAD_VERSION,
    nonce: request.nonce,
    digest,
    ...outcome,
    receivedAt: toInstant(receivedAt),
    sentAt: toInstant(sentAt),
    expiresAt: toInstant(wallMs(sentAt + VALID_FOR_MS)),
  };
  return seal('enrolled', answer, signing);
}
