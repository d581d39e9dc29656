import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { parseAnswer } from '@paddock/shared/answer.ts';
import { digestOf, openEnvelope, parseEnvelope, type Envelope } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import { parsePresence } from '@paddock/shared/presence.ts';
import { parseReport } from '@paddock/shared/report.ts';
import { parseTopic } from '@paddock/shared/topics.ts';
import { describe, expect, it } from 'vitest';
import accepted from '../../fixtures/vectors/accepted.json' with { type: 'json' };
import keys from '../../fixtures/vectors/keys.json' with { type: 'json' };
import refused from '../../fixtures/vectors/refused.json' with { type: 'json' };
import { refusalOf } from '../../harness/refusals.ts';

interface Received {
  readonly envelope: Envelope;
  readonly payload: { readonly device: string };
}

const PARSERS: Partial<Record<string, (payload: unknown) => { device: string }>> = {
  report: parseReport,
  answer: parseAnswer,
  presence: parsePresence,
};

/** All that a receiver does with a message, in the order of docs/protocol.md: the first thing wrong names the code. */
async function receive(topic: string, text: string, key: VerificationKey): Promise<Received> {
  const { deviceId, kind } = parseTopic(topic);
  const envelope = parseEnvelope(text);
  if (envelope.kind !== kind) throw new Refusal('typ_mismatch');
  if (envelope.keyId !== key.keyId) throw new Refusal('key_unknown');
  const opened = await openEnvelope(envelope, key, inflater);
  const payload = PARSERS[kind]?.(opened);
  if (payload?.device !== deviceId) throw new Refusal('device_mismatch');
  return { envelope, payload };
}

const keyOf = (name: string): Promise<VerificationKey> =>
  importVerificationKey(keys[name as keyof typeof keys].publicJwk);

describe('golden vectors', () => {
  it.each(Object.entries(keys))('the key %s has its thumbprint', async (name, { thumbprint, keyId }) => {
    expect(await keyOf(name)).toMatchObject({ thumbprint, keyId });
  });

  it.each(accepted)('accepted: $name', async ({ topic, key, envelope: text, payload, digest, header }) => {
    const received = await receive(topic, text, await keyOf(key));
    expect(received.payload).toEqual(payload);
    expect(await digestOf(received.envelope)).toBe(digest);
    expect(received.envelope).toMatchObject({ algorithm: header.alg, keyId: header.kid });
  });

  it.each(refused)('$code: $name', async ({ topic, key, envelope, code }) => {
    const verification = await keyOf(key);
    expect(await refusalOf(() => receive(topic, envelope, verification))).toBe(code);
  });
});
