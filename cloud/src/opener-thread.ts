/** The program of a thread that opens envelopes, batch by batch: signature first, then inflation. It knows nothing else. */
import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import type { DictionaryId } from '@paddock/shared/dictionary.ts';
import { derOfEs256 } from '@paddock/shared/ecdsa-der.ts';
import { inflatePayload } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { inflater } from './adapters/inflate.ts';
import { itemsOf, pack, type Batch, type Item, type Outcome } from './adapters/opener/batch.ts';

const keys = new Map<number, KeyObject>();

parentPort?.on('message', (batch: Batch) => {
  if (batch.forget) keys.clear();
  for (const { id, jwk } of batch.add) keys.set(id, createPublicKey({ key: jwk, format: 'jwk' }));
  const opened = pack([...itemsOf(batch)].map(open));
  parentPort?.postMessage(opened, [opened.bytes.buffer]);
});

function open({ keyId, signature, signingInput, payload, dictionary }: Item): Outcome {
  const key = keys.get(keyId);
  if (key === undefined || !fits(key, signingInput, signature)) return 'signature_invalid';
  return inflated(Buffer.from(payload, 'base64url'), dictionary);
}

/**
 * With the one algorithm that the key is for. OpenSSL is given DER: to turn r and s into it, Node asks the key for its
 * order each time, which costs a third of the verification.
 */
function fits(key: KeyObject, signingInput: Uint8Array, signature: Uint8Array): boolean {
  return key.asymmetricKeyType === 'ed25519'
    ? verify(null, signingInput, key, signature)
    : verify('sha256', signingInput, key, derOfEs256(signature));
}

function inflated(payload: Uint8Array, dictionary: DictionaryId | null): Outcome {
  try {
    return inflatePayload(payload, dictionary, inflater);
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause;
    return cause.code === 'payload_too_large' ? 'payload_too_large' : 'payload_malformed';
  }
}
