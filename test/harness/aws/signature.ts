import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** A request as it came over the wire. */
export interface SignedRequest {
  readonly method: string;
  /** Path and query, as they stand in the request line. */
  readonly target: string;
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Uint8Array;
}

export interface SignatureTerms {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  readonly service: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})$/;
const MAX_AGE_MS = 5 * 60_000;

const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex');
const hmac = (key: Uint8Array | string, data: string): Buffer => createHmac('sha256', key).update(data).digest();

/**
 * Checks a request's AWS Signature Version 4, as AWS describes it for services other than S3 ("Create a signed AWS API
 * request", IAM user guide).
 * @returns what is wrong, or null
 */
export function signatureFault(request: SignedRequest, terms: SignatureTerms): string | null {
  const match = AUTHORIZATION.exec(request.headers['authorization'] ?? '');
  if (match === null) return 'IncompleteSignature';
  const [, keyId, day = '', region, service, names = '', signature = ''] = match;
  const date = request.headers['x-amz-date'] ?? '';
  if (keyId !== terms.accessKeyId) return 'UnrecognizedClient';
  if (region !== terms.region || service !== terms.service || !date.startsWith(day)) return 'ScopeMismatch';
  if (Math.abs(parseDate(date) - terms.now) > MAX_AGE_MS) return 'RequestExpired';
  if (!names.split(';').includes('host')) return 'HostNotSigned';
  const scope = `${day}/${region}/${service}/aws4_request`;
  const toSign = ['AWS4-HMAC-SHA256', date, scope, sha256(canonicalRequest(request, names))].join('\n');
  const key = [day, region, service, 'aws4_request'].reduce<Uint8Array | string>(
    (signing, part) => hmac(signing, part ?? ''),
    `AWS4${terms.secretAccessKey}`,
  );
  const right = hmac(key, toSign);
  return timingSafeEqual(right, Buffer.from(signature, 'hex')) ? null : 'SignatureDoesNotMatch';
}

function canonicalRequest({ method, target, headers, body }: SignedRequest, names: string): string {
  const [path = '/', query = ''] = target.split('?', 2);
  const pairs = query === '' ? [] : query.split('&').map((pair) => (pair.includes('=') ? pair : `${pair}=`));
  const lines = names.split(';').map((name) => `${name}:${(headers[name] ?? '').trim().replaceAll(/ +/g, ' ')}\n`);
  // Each part of the path, as it was sent, is encoded once more.
  const encoded = path.split('/').map(encode).join('/');
  return [method, encoded, pairs.toSorted().join('&'), lines.join(''), names, sha256(body)].join('\n');
}

/** RFC 3986: what encodeURIComponent leaves as it is, is encoded, too. */
const encode = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

const parseDate = (date: string): number =>
  Date.parse(date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));
