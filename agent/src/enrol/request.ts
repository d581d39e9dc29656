import { X509Certificate } from 'node:crypto';
import { parseEnrolled, type Enrolled, type EnrolmentRequest } from '@paddock/shared/enrolment.ts';
import { digestOf, openEnvelope, parseEnvelope, seal, type Inflate } from '@paddock/shared/envelope.ts';
import { encodeBase64url } from '@paddock/shared/base64url.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import { isDeviceId } from '@paddock/shared/topics.ts';
import { fromInstant } from '@paddock/shared/time.ts';
import type { Moment } from '../clock/exchange.ts';
import type { Signer } from '../ports.ts';
import { certificateRequest } from './certificate-request.ts';
import { EnrolError } from './enrol-error.ts';
import type { Pin } from './pin.ts';
import type { TlsKey } from './tls-key.ts';

/** What the device signs with, and what it says of itself. */
export interface Applicant {
  readonly signer: Signer;
  /** The public part of the identity key. */
  readonly publicKey: VerificationKey;
  readonly tlsKey: TlsKey;
  /** The id that it was given before. */
  readonly device: string | null;
  readonly facts: Readonly<Record<string, string>>;
  /** What vouches for a key that the cloud does not know yet. */
  readonly claim: string | null;
  readonly endorsement: string | null;
}

export interface SealedRequest {
  readonly jws: string;
  readonly digest: string;
  readonly nonce: string;
}

/** Signed by the identity key, which so vouches for the key of the certificate. */
export async function sealRequest(
  applicant: Applicant,
  { serialNumber, model }: Pick<Pin, 'serialNumber' | 'model'>,
  nonce: string,
): Promise<SealedRequest> {
  const { publicKey, tlsKey, device, facts, claim, endorsement } = applicant;
  const payload: EnrolmentRequest = {
    v: PAYLOAD_VERSION,
    jwk: publicKey.jwk as EnrolmentRequest['jwk'],
    nonce,
    ...(device !== null && { device }),
    ...(serialNumber !== null && { serialNumber }),
    ...(model !== null && { model }),
    facts,
    csr: encodeBase64url(certificateRequest(device ?? `key:${publicKey.keyId}`, tlsKey)),
    ...(claim !== null && { claim }),
    ...(endorsement !== null && { endorsement }),
  };
  const jws = await seal('enrolment', payload, applicant.signer);
  return { jws, digest: await digestOf(parseEnvelope(jws)), nonce };
}

export interface EnrolledContext {
  readonly keys: readonly VerificationKey[];
  readonly request: SealedRequest;
  /** When the nonce was asked for: the answer is younger than that, whatever any clock says. */
  readonly askedAt: Moment;
  readonly arrival: Moment;
  readonly inflater: Inflate;
}

/**
 * Shape before signature, signature before meaning.
 * @throws Refusal for shape and signature, EnrolError `enrolled_mismatch` or `enrolled_expired`
 */
export async function readEnrolled(text: string, context: EnrolledContext): Promise<Enrolled> {
  const envelope = parseEnvelope(text);
  if (envelope.kind !== 'enrolled') throw new Refusal('typ_mismatch', envelope.kind);
  const key = context.keys.find(({ keyId }) => keyId === envelope.keyId);
  if (!key) throw new Refusal('key_unknown', envelope.keyId);
  const enrolled = parseEnrolled(await openEnvelope(envelope, key, context.inflater));
  const { request, askedAt, arrival } = context;
  if (enrolled.nonce !== request.nonce || enrolled.digest !== request.digest) throw new EnrolError('enrolled_mismatch');
  const lifetimeMs = fromInstant(enrolled.expiresAt) - fromInstant(enrolled.sentAt);
  if (askedAt.segment !== arrival.segment || !(arrival.at - askedAt.at <= lifetimeMs))
    throw new EnrolError('enrolled_expired');
  return enrolled;
}

/**
 * A certificate that another key or device would have to show is refused before it replaces one that works.
 * @throws EnrolError `certificate_foreign`
 */
export function checkOwnCertificate(der: string, device: string, { publicKey }: Pick<TlsKey, 'publicKey'>): void {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(Buffer.from(der, 'base64url'));
  } catch (cause) {
    throw new EnrolError('certificate_foreign', 'it cannot be read', { cause });
  }
  if (!certificate.publicKey.export({ type: 'spki', format: 'der' }).equals(publicKey))
    throw new EnrolError('certificate_foreign', 'another key');
  // The cloud's authority writes the device's id. AWS IoT leaves what the request said, which is no id at first.
  const named = /^CN=(.*)$/m.exec(certificate.subject)?.[1] ?? '';
  if (isDeviceId(named) && named !== device) throw new EnrolError('certificate_foreign', named);
}
