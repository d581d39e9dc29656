import { parseDesired, type Desired } from '@paddock/shared/desired.ts';
import { openEnvelope, parseEnvelope, type Inflate } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';

export interface OpenContext {
  readonly device: string;
  /** The online keys of the newest list of keys. */
  readonly keys: readonly VerificationKey[];
  readonly inflater: Inflate;
}

/** Check 1 of the protocol's section 14, and whom it is for. @throws Refusal */
export async function openDesiredMessage(text: string, { device, keys, inflater }: OpenContext): Promise<Desired> {
  const envelope = parseEnvelope(text);
  if (envelope.kind !== 'desired') throw new Refusal('typ_mismatch', envelope.kind);
  const key = keys.find(({ keyId }) => keyId === envelope.keyId);
  if (!key) throw new Refusal('key_unknown', envelope.keyId);
  const desired = parseDesired(await openEnvelope(envelope, key, inflater));
  if (desired.device !== device) throw new Refusal('device_mismatch', desired.device);
  return desired;
}
