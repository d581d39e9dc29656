import type { AwsCertificate, AwsIot, Sql } from '../ports.ts';
import { keyDigestOf } from './certificate.ts';
import { isMissing } from './errors.ts';
import { strangersAmong } from './records.ts';

/** AWS's clock and the database's may differ by this. */
const CLOCKS_DIFFER_MS = 10 * 60_000;

/**
 * Certificates of this key that AWS made and nobody recorded, because the answer was lost. Looked for among those made
 * since the request; only inactive ones that no device has are looked at, since nothing was done with them.
 */
export async function findUnrecorded(
  { iot, sql }: { readonly iot: AwsIot; readonly sql: Sql },
  { keyDigest, askedAt }: { readonly keyDigest: string; readonly askedAt: number },
): Promise<AwsCertificate[]> {
  const found: AwsCertificate[] = [];
  let marker: string | undefined;
  do {
    const page = await iot.certificates(marker);
    const recent = page.items.filter(({ createdAt }) => createdAt >= askedAt - CLOCKS_DIFFER_MS);
    const candidates = recent.filter(({ isActive }) => !isActive).map(({ id }) => id);
    for (const id of await strangersAmong(sql, candidates)) {
      const certificate = await described(iot, id);
      if (certificate !== null && keyDigestOf(certificate.pem) === keyDigest) found.push(certificate);
    }
    marker = recent.length < page.items.length ? undefined : page.marker;
  } while (marker !== undefined);
  return found;
}

/** Certificates that hang on a device's thing and that nobody recorded: issued since the backup of this database. */
export async function findForeign(
  { iot, sql }: { readonly iot: AwsIot; readonly sql: Sql },
  deviceId: string,
): Promise<AwsCertificate[]> {
  const ids = (await principalsOf(iot, deviceId)).flatMap((arn) => CERTIFICATE_ARN.exec(arn)?.[1] ?? []);
  const found: AwsCertificate[] = [];
  for (const id of await strangersAmong(sql, ids)) {
    const certificate = await described(iot, id);
    if (certificate !== null) found.push(certificate);
  }
  return found;
}

const CERTIFICATE_ARN = /:cert\/([0-9a-f]{64})$/;

/** None when there is no such thing. */
export async function principalsOf(iot: AwsIot, deviceId: string): Promise<string[]> {
  try {
    return await iot.principalsOf(deviceId);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Null when another one removed it meanwhile. */
async function described(iot: AwsIot, id: string): Promise<AwsCertificate | null> {
  try {
    return await iot.describeCertificate(id);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
