import { base64url } from 'jose';
import { parseEnvelope, readPayload, type Inflate } from '@paddock/shared/envelope.ts';
import type { Report } from '@paddock/shared/report.ts';

/** The payload of an envelope that was recorded: it was verified, and found to fit the schema, before. */
export function payloadOf(envelope: string, inflater: Inflate): Report {
  const { payload, dictionary } = parseEnvelope(envelope);
  return readPayload(base64url.decode(payload), dictionary, inflater) as Report;
}
