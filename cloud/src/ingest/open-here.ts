import { inflatePayload, verifyEnvelope, type Inflate } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import type { Opener, SignedPayload } from '../ports.ts';

/** Opens envelopes with the contract's own code, in this thread and the platform's: simple, and slower than threads. */
export const openHere = (inflater: Inflate): Opener => ({
  async open(envelope, key): Promise<SignedPayload | null> {
    try {
      return { json: inflatePayload(await verifyEnvelope(envelope, key), envelope.dictionary, inflater) };
    } catch (cause) {
      if (!(cause instanceof Refusal)) throw cause;
      if (cause.code === 'signature_invalid') return null;
      if (cause.code === 'payload_too_large' || cause.code === 'payload_malformed') return { code: cause.code };
      throw cause;
    }
  },
});
