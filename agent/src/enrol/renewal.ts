import { fromInstant, type UptimeMs } from '@paddock/shared/time.ts';
import type { TrustedInterval } from '../clock/trusted-time.ts';
import type { Member } from './record.ts';

/** What went on between this device and the broker since it was last connected. */
export interface LinkTrouble {
  /** Connections in a row that did not come about. */
  readonly failures: number;
  /** The broker said that it does not take the certificate, or we do not believe its own. */
  readonly refused: boolean;
}

export const NO_TROUBLE: LinkTrouble = { failures: 0, refused: false };

/** A broker that closes without a word may mean the certificate, too; one that is being restarted comes back sooner. */
const FAILURES_THAT_MEAN_IT = 12;
/** Spreads a fleet that was enrolled together. */
const JITTER_SHARE = 0.1;

/**
 * Alerts of TLS about the client's certificate (RFC 8446, section 6.2), return codes 4 and 5 of a CONNACK (MQTT 3.1.1,
 * section 3.2.2.3), and what only newer keys or better time can cure of the server's.
 */
const REFUSALS =
  /ALERT_(BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_\w+|UNKNOWN_CA|ACCESS_DENIED)$|^[45]$|^certificate_(expired|not_yet_valid|untrusted)$/;

export const linkFailed = ({ failures, refused }: LinkTrouble, code: string | undefined): LinkTrouble => ({
  failures: failures + 1,
  refused: refused || REFUSALS.test(code ?? ''),
});

export interface RenewalContext {
  readonly trusted: TrustedInterval;
  readonly now: UptimeMs;
  /** When this boot received the certificate; null when an earlier one did. */
  readonly receivedAt: UptimeMs | null;
  readonly trouble: LinkTrouble;
  /** Between 0 and 1, drawn once a certificate. */
  readonly random: number;
}

/**
 * Whether to ask for the next certificate, by what is certain alone: trusted time, the uptime since this one came, or
 * a broker that does not take it. The wall clock is not asked.
 */
export function isRenewalDue(
  { certificate, sentAt }: Pick<Member, 'certificate' | 'sentAt'>,
  { trusted, now, receivedAt, trouble, random }: RenewalContext,
): boolean {
  if (trouble.refused || trouble.failures >= FAILURES_THAT_MEAN_IT) return true;
  const restMs = fromInstant(certificate.notAfter) - fromInstant(certificate.renewAfter);
  const dueAt = fromInstant(certificate.renewAfter) + random * JITTER_SHARE * restMs;
  if (trusted.earliest >= dueAt) return true;
  return receivedAt !== null && now - receivedAt >= dueAt - fromInstant(sentAt);
}
