import './reflection.ts';
import { X509CrlGenerator, X509CrlReason, type X509Certificate } from '@peculiar/x509';
import { toDate, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { AuthorityKey } from './authority-key.ts';
import { authorityKeyIdentifier, BACKDATED_MS } from './issue.ts';

export interface Revoked {
  /** In hexadecimal. */
  readonly serial: string;
  readonly revokedAt: WallMs;
}

/**
 * A list that is past its date makes a broker refuse everybody, and this one is written anew by hand or by the service:
 * what it says is good until then.
 */
const LIFE_MS = 30 * 86_400_000;

/** A revocation list (RFC 5280, section 5) in PEM. Give it unexpired certificates only: expired ones are refused anyway. */
export async function revocationList(
  { certificate, signingKey }: { certificate: X509Certificate; signingKey: AuthorityKey },
  revoked: readonly Revoked[],
  now: WallMs,
): Promise<string> {
  const list = await X509CrlGenerator.create({
    issuer: certificate.subjectName,
    thisUpdate: toDate(wallMs(now - BACKDATED_MS)),
    nextUpdate: toDate(wallMs(now + LIFE_MS)),
    signingKey: signingKey.privateKey,
    signingAlgorithm: signingKey.algorithm,
    extensions: [await authorityKeyIdentifier(certificate)],
    entries: revoked.map(({ serial, revokedAt }) => ({
      serialNumber: serial,
      revocationDate: toDate(revokedAt),
      reason: X509CrlReason.cessationOfOperation,
    })),
  });
  // The library's own label is one that openssl and Mosquitto do not know.
  return `${list.toString('pem').replaceAll(/(BEGIN|END) CRL/g, '$1 X509 CRL')}\n`;
}
