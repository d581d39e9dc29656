import { parseClaim, type Claim } from '@paddock/shared/enrolment.ts';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import { EnrolError } from './enrol-error.ts';

/** What the device believes before it has heard a word, and what it shows to be let in. */
export interface Pin {
  /** The enrolment service: `https://host:port`. */
  readonly url: string;
  /** SHA-256 over the DER of the authority that the service's certificate has to come from, base64url. */
  readonly ca: string;
  /** The fleet root. */
  readonly root: VerificationKey;
  readonly claim: string | null;
  readonly serialNumber: string | null;
  readonly model: string | null;
}

/** As it stands in the configuration. */
export interface PinSettings {
  readonly url: string;
  readonly ca: string;
  readonly serialNumber?: string;
  readonly model?: string;
}

export const FINGERPRINT_PATTERN = '^[A-Za-z0-9_-]{43}$';

export async function pinOf({ url, ca, serialNumber, model }: PinSettings, root: string): Promise<Pin> {
  const key = await rootOf(parseJson(root, 'root_invalid'));
  return { url, ca, root: key, claim: null, serialNumber: serialNumber ?? null, model: model ?? null };
}

/**
 * Reads what a claim pins. Its signature is the cloud's to verify: the device believes it because it was put there
 * with the device's own program.
 * @param text a JWT (RFC 7519)
 * @throws EnrolError `claim_malformed` or `root_invalid`
 */
export async function pinOfClaim(text: string): Promise<Pin> {
  const claim = text.trim();
  const [, payload = '', ...rest] = claim.split('.');
  if (rest.length !== 1) throw new EnrolError('claim_malformed', 'it has not three parts');
  const { url, ca, root, sub, model } = shapeOf(Buffer.from(payload, 'base64url').toString('utf8'));
  if (!isServiceUrl(url)) throw new EnrolError('claim_malformed', 'url');
  return { url, ca, root: await rootOf(root), claim, serialNumber: sub, model: model ?? null };
}

function shapeOf(payload: string): Claim {
  const said = parseJson(payload, 'claim_malformed');
  try {
    return parseClaim(said);
  } catch (cause) {
    throw new EnrolError('claim_malformed', cause instanceof Error ? cause.message : undefined, { cause });
  }
}

/** Only over TLS, and with nothing behind the port. */
export const isServiceUrl = (text: string): boolean => {
  const url = /^https:\/\/[^/\s?#@]+\/?$/.test(text) ? URL.parse(text) : null;
  return url !== null && url.port !== '0';
};

const rootOf = (jwk: unknown): Promise<VerificationKey> =>
  importVerificationKey(isRecord(jwk) ? jwk : {}).catch((cause: unknown) => {
    throw new EnrolError('root_invalid', undefined, { cause });
  });

function parseJson(text: string, code: EnrolError['code']): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EnrolError(code, 'not JSON', { cause });
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
