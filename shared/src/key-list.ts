import { parseKeyList, type KeyList } from './enrolment.ts';
import { parseEnvelope, parsePayload, verifyEnvelope } from './envelope.ts';
import { Refusal } from './errors.ts';
import type { VerificationKey } from './keys.ts';

/**
 * Opens a list of keys that this root sealed. Lists are walked one by one: the next one is sealed by the root that the one
 * before names, and its version is the next.
 * @throws Refusal with the code of what is wrong: `key_unknown` when another key sealed it
 */
export async function openKeyList(sealed: string, root: VerificationKey): Promise<KeyList> {
  const envelope = parseEnvelope(sealed);
  if (envelope.kind !== 'keys') throw new Refusal('typ_mismatch', envelope.kind);
  // Lists are plain, so that whoever reads one needs no dictionary.
  if (envelope.dictionary !== null) throw new Refusal('cty_unknown', envelope.dictionary);
  if (envelope.keyId !== root.keyId) throw new Refusal('key_unknown', envelope.keyId);
  return parseKeyList(parsePayload(await verifyEnvelope(envelope, root)));
}
