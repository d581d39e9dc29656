import { base64url, compactVerify, errors } from 'jose';
import { isCanonicalBase64url } from './base64url.ts';
import { DICTIONARIES, type DictionaryId } from './dictionary.ts';
import { Refusal } from './errors.ts';
import { ALGORITHMS, type Algorithm, type VerificationKey } from './keys.ts';
import { MESSAGE_KINDS } from './topics.ts';

/** What is sealed and travels over no topic: the JWS `typ` of each. */
export const DOCUMENT_TYPS = {
  enrolment: 'paddock-enrolment',
  enrolled: 'paddock-enrolled',
  keys: 'paddock-keys',
  claim: 'paddock-claim',
  endorsement: 'paddock-endorsement',
} as const satisfies Record<string, string>;

const TYPS = {
  ...(Object.fromEntries(Object.entries(MESSAGE_KINDS).map(([kind, { typ }]) => [kind, typ])) as Record<
    keyof typeof MESSAGE_KINDS,
    string
  >),
  ...DOCUMENT_TYPS,
};
/** Everything that an envelope can hold. */
export type SealedKind = keyof typeof TYPS;

/** Bounds of one message, in bytes: on the wire, and after inflation. */
export const MAX_ENVELOPE_BYTES = 65_536;
export const MAX_PAYLOAD_BYTES = 262_144;
const MAX_HEADER_CHARS = 512;
/** Objects and arrays inside of each other; a report needs five. */
const MAX_DEPTH = 32;

/** Raw deflate (RFC 1951) with a preset dictionary; handed in, because Node and browsers bring different ones. */
export interface Deflate {
  deflate(bytes: Uint8Array, dictionary: Uint8Array): Uint8Array;
}
export interface Inflate {
  /** @throws anything when the bytes do not inflate, {@link Refusal} `payload_too_large` past `maxBytes` */
  inflate(bytes: Uint8Array, dictionary: Uint8Array, maxBytes: number): Uint8Array;
}

/** Signs on behalf of a key that never leaves its holder. */
export interface Signing {
  readonly algorithm: Algorithm;
  readonly keyId: string;
  /** The JWS signature over the bytes (RFC 7518, section 3.4: r and s, 32 bytes each, for ES256). */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}

/** A compact JWS whose shape was checked and whose signature was not. */
export interface Envelope {
  readonly jws: string;
  readonly kind: SealedKind;
  readonly algorithm: Algorithm;
  readonly keyId: string;
  readonly dictionary: DictionaryId | null;
  /** Header and payload, as signed (RFC 7515, section 5.1): what a message's digest is made of. */
  readonly signingInput: string;
  /** Canonical base64url, both. */
  readonly payload: string;
  readonly signature: string;
}

const KIND_OF_TYP = new Map<string, SealedKind>(Object.entries(TYPS).map(([kind, typ]) => [typ, kind as SealedKind]));
const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Signs a payload as a compact JWS (RFC 7515, section 7.1), deflated when a deflater is given. */
export async function seal(kind: SealedKind, payload: object, signing: Signing, deflater?: Deflate): Promise<string> {
  const json = utf8.encode(JSON.stringify(payload));
  const header = {
    alg: signing.algorithm,
    kid: signing.keyId,
    typ: TYPS[kind],
    ...(deflater && { cty: 'd1' satisfies DictionaryId }),
  };
  const body = deflater ? deflater.deflate(json, DICTIONARIES.d1) : json;
  const input = `${base64url.encode(JSON.stringify(header))}.${base64url.encode(body)}`;
  return `${input}.${base64url.encode(await signing.sign(utf8.encode(input)))}`;
}

/**
 * Reads the shape of an envelope without believing it.
 * @throws Refusal with the code of what is wrong with the shape
 */
export function parseEnvelope(text: string): Envelope {
  if (text.length > MAX_ENVELOPE_BYTES) throw new Refusal('envelope_too_large', `${text.length} bytes`);
  const parts = text.split('.');
  const [header = '', payload = '', signature = ''] = parts;
  if (parts.length !== 3 || !header || !payload || !signature) throw new Refusal('envelope_malformed');
  if (!parts.every(isCanonicalBase64url)) throw new Refusal('envelope_not_canonical');
  return { jws: text, ...parseHeader(header), signingInput: `${header}.${payload}`, payload, signature };
}

/** SHA-256 over the signing input, base64url: the identity of a message's content, whatever its signature bytes. */
export async function digestOf(envelope: Pick<Envelope, 'signingInput'>): Promise<string> {
  return base64url.encode(new Uint8Array(await crypto.subtle.digest('SHA-256', utf8.encode(envelope.signingInput))));
}

/**
 * Verifies, then inflates and parses: in this order, so that nobody without a key can make us inflate.
 * @returns the payload as JSON of unknown shape
 * @throws Refusal `alg_refused`, `signature_invalid`, `payload_too_large` or `payload_malformed`
 */
export async function openEnvelope(envelope: Envelope, key: VerificationKey, inflater: Inflate): Promise<unknown> {
  return readPayload(await verifyEnvelope(envelope, key), envelope.dictionary, inflater);
}

/**
 * @returns the bytes that were signed, still deflated where the header says so
 * @throws Refusal `alg_refused` or `signature_invalid`
 */
export async function verifyEnvelope(envelope: Envelope, key: VerificationKey): Promise<Uint8Array> {
  pinAlgorithm(envelope, key);
  try {
    const { payload } = await compactVerify(envelope.jws, key.key, { algorithms: [envelope.algorithm] });
    return payload;
  } catch (cause) {
    if (cause instanceof errors.JOSEError) throw new Refusal('signature_invalid', undefined, { cause });
    throw cause;
  }
}

/** The key decides which algorithms verify with it, never the header. @throws Refusal `alg_refused` */
export function pinAlgorithm(envelope: Envelope, key: VerificationKey): void {
  if (!key.algorithms.includes(envelope.algorithm)) throw new Refusal('alg_refused', 'not the algorithm of this key');
}

/**
 * Inflates and parses bytes whose signature was verified.
 * @throws Refusal `payload_too_large` or `payload_malformed`
 */
export const readPayload = (bytes: Uint8Array, dictionary: DictionaryId | null, inflater: Inflate): unknown =>
  parsePayload(inflatePayload(bytes, dictionary, inflater));

/**
 * The JSON of bytes whose signature was verified, still as bytes.
 * @throws Refusal `payload_too_large` or `payload_malformed`
 */
export function inflatePayload(bytes: Uint8Array, dictionary: DictionaryId | null, inflater: Inflate): Uint8Array {
  return orMalformed(() => (dictionary ? inflater.inflate(bytes, DICTIONARIES[dictionary], MAX_PAYLOAD_BYTES) : bytes));
}

/** @throws Refusal `payload_malformed` */
export const parsePayload = (json: Uint8Array): unknown =>
  orMalformed(() => {
    const payload = parseJson(strictUtf8.decode(json));
    if (isDeeper(payload, MAX_DEPTH)) throw new Refusal('payload_malformed', `nested deeper than ${MAX_DEPTH}`);
    return payload;
  });

function orMalformed<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof Refusal) throw cause;
    throw new Refusal('payload_malformed', undefined, { cause });
  }
}

/** JSON that any store and any language can hold: no U+0000, no half of a surrogate pair, no depth that ends a stack. */
function parseJson(text: string): unknown {
  if (!text.includes('\\u')) return JSON.parse(text);
  return JSON.parse(text, (key, value: unknown) => {
    if (!isPlainText(key) || (typeof value === 'string' && !isPlainText(value)))
      throw new Refusal('payload_malformed', 'a string holds U+0000 or half of a surrogate pair');
    return value;
  });
}

function isDeeper(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depth === 0) return true;
  for (const name in value) if (isDeeper((value as Record<string, unknown>)[name], depth - 1)) return true;
  return false;
}

const isPlainText = (text: string): boolean => text.isWellFormed() && !text.includes('\0');

function parseHeader(encoded: string): Pick<Envelope, 'kind' | 'algorithm' | 'keyId' | 'dictionary'> {
  if (encoded.length > MAX_HEADER_CHARS) throw new Refusal('header_invalid', 'longer than 512 characters');
  const { alg, kid, typ, cty, ...unknown } = decodeHeader(encoded);
  // RFC 7515, section 4.1.11: what we do not understand and cannot ignore; a closed set leaves no doubt.
  if (Object.keys(unknown).length > 0)
    throw new Refusal('header_invalid', `unknown ${Object.keys(unknown).join(', ')}`);
  if (!ALGORITHMS.includes(alg as Algorithm)) throw new Refusal('alg_refused', String(alg));
  const kind = typeof typ === 'string' ? KIND_OF_TYP.get(typ) : undefined;
  if (kind === undefined) throw new Refusal('typ_mismatch', String(typ));
  if (typeof kid !== 'string' || !/^[A-Za-z0-9_-]{12}$/.test(kid)) throw new Refusal('header_invalid', 'kid');
  if (cty !== undefined && (typeof cty !== 'string' || !Object.hasOwn(DICTIONARIES, cty)))
    throw new Refusal('cty_unknown', JSON.stringify(cty));
  return { kind, algorithm: alg as Algorithm, keyId: kid, dictionary: (cty as DictionaryId | undefined) ?? null };
}

function decodeHeader(encoded: string): Record<string, unknown> {
  let text: string;
  let header: unknown;
  try {
    text = strictUtf8.decode(base64url.decode(encoded));
    header = JSON.parse(text);
  } catch (cause) {
    throw new Refusal('header_invalid', 'not JSON', { cause });
  }
  if (header === null || typeof header !== 'object' || Array.isArray(header))
    throw new Refusal('header_invalid', 'not an object');
  // RFC 7515, section 4: names are unique. No value that we take holds a colon, so each one belongs to a name.
  if (text.split(':').length - 1 !== Object.keys(header).length)
    throw new Refusal('header_invalid', 'a name twice or a colon');
  return header as Record<string, unknown>;
}
