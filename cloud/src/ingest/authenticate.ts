import { hash } from 'node:crypto';
import {
  MAX_ENVELOPE_BYTES,
  parseEnvelope,
  parsePayload,
  pinAlgorithm,
  type Envelope,
} from '@paddock/shared/envelope.ts';
import { Refusal, type RefusalCode } from '@paddock/shared/errors.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import { parseReport, type Report } from '@paddock/shared/report.ts';
import type { WallMs } from '@paddock/shared/time.ts';
import { parseTopic, type MessageKind, type RecordedKind } from '@paddock/shared/topics.ts';
import type { Inbound, Opener, Origin, SignedPayload } from '../ports.ts';
import type { KeyDirectory } from './directory.ts';

/** What is proved to come from its device, unchanged. */
export interface Authentic {
  readonly deviceId: string;
  /** The compact JWS as it came. */
  readonly envelope: string;
  /** SHA-256 of the signing input, base64url. */
  readonly digest: string;
  readonly receivedAt: WallMs;
  /** Bytes of the payload's JSON: what the message takes in memory until it is recorded, more or less. */
  readonly payloadBytes: number;
}

export interface AuthenticReport extends Authentic {
  readonly report: Report;
}

/** A message that will not be recorded. */
export interface RefusedMessage {
  readonly topic: string;
  /** As the topic names it; null when the topic is foreign. */
  readonly deviceId: string | null;
  readonly payload: string;
  readonly receivedAt: WallMs;
  readonly code: RefusalCode;
  readonly detail: string;
  /** The digest, when the signature was good and only the content was not: such a refusal is answered. */
  readonly signedDigest: string | null;
  /** Whose connection brought it, where the broker tells. */
  readonly origin?: Origin | undefined;
}

export type Authentication<Message extends Authentic> =
  | { readonly verdict: 'authentic'; readonly message: Message }
  | { readonly verdict: 'refused'; readonly message: RefusedMessage };

/** How messages of one kind are read. */
export interface Reading<Content extends { readonly device: string }, Message extends Authentic> {
  readonly kind: RecordedKind;
  /** @throws Refusal */
  readonly parse: (payload: unknown) => Content;
  readonly message: (proved: Authentic, content: Content) => Message;
}

const REPORTS: Reading<Report, AuthenticReport> = {
  kind: 'report',
  parse: parseReport,
  message: (proved, report) => ({ ...proved, report }),
};

const latin1 = new TextDecoder('latin1');
/** As much as is kept of a message that is too large to be looked at. */
const GLIMPSE_BYTES = 4096;

/** First step of ingest, for reports. */
export const authenticate = (
  inbound: Inbound,
  keys: KeyDirectory,
  opener: Opener,
): Promise<Authentication<AuthenticReport>> => authenticateAs(REPORTS, inbound, keys, opener);

/**
 * Shape before signature, signature before meaning; topic, key and payload must agree.
 * Never rejects for what a message holds: every refusal is a verdict with its code.
 */
export async function authenticateAs<Content extends { readonly device: string }, Message extends Authentic>(
  reading: Reading<Content, Message>,
  inbound: Inbound,
  keys: KeyDirectory,
  opener: Opener,
): Promise<Authentication<Message>> {
  const { topic, receivedAt, origin } = inbound;
  const payload = readText(inbound.payload);
  let deviceId: string | null = null;
  let signedDigest: string | null = null;
  try {
    const addressed = parseTopic(topic);
    deviceId = addressed.deviceId;
    if (inbound.payload.length > MAX_ENVELOPE_BYTES) throw new Refusal('envelope_too_large');
    const envelope = readEnvelope(payload, addressed.kind, reading.kind);
    const signed = await believe(envelope, await keys.keyOf(deviceId, envelope.keyId), opener);
    signedDigest = digestOf(envelope);
    const json = jsonOf(signed);
    const content = reading.parse(parsePayload(json));
    if (content.device !== deviceId) throw new Refusal('device_mismatch', content.device);
    const proved = { deviceId, envelope: payload, digest: signedDigest, receivedAt, payloadBytes: json.length };
    return { verdict: 'authentic', message: reading.message(proved, content) };
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause;
    const { code, message: detail } = cause;
    const refused = { topic, deviceId, payload, receivedAt, code, detail, signedDigest, origin };
    return { verdict: 'refused', message: refused };
  }
}

async function believe(envelope: Envelope, key: VerificationKey, opener: Opener): Promise<SignedPayload> {
  pinAlgorithm(envelope, key);
  const signed = await opener.open(envelope, key);
  if (signed === null) throw new Refusal('signature_invalid');
  return signed;
}

function jsonOf(signed: SignedPayload): Uint8Array {
  if ('code' in signed) throw new Refusal(signed.code);
  return signed.json;
}

function readEnvelope(payload: string, kind: MessageKind, expected: RecordedKind): Envelope {
  if (kind !== expected) throw new Refusal('topic_foreign', `nothing takes ${kind} here`);
  const envelope = parseEnvelope(payload);
  if (envelope.kind !== kind) throw new Refusal('typ_mismatch', `${envelope.kind} on the topic of ${kind}`);
  return envelope;
}

/** An envelope is ASCII: anything else becomes characters that no base64url holds. */
function readText(bytes: Uint8Array): string {
  return latin1.decode(bytes.length > MAX_ENVELOPE_BYTES ? bytes.subarray(0, GLIMPSE_BYTES) : bytes);
}

/** The digest of the protocol, without a job for another thread: one costs more than hashing a few hundred bytes. */
const digestOf = ({ signingInput }: Envelope): string => hash('sha256', signingInput, 'base64url');
