import type { JsonWebKey } from 'node:crypto';
import type { DictionaryId } from '@paddock/shared/dictionary.ts';

/** r and s, or R and S, of 32 bytes each (RFC 7518, section 3.4; RFC 8032): one length for all that the protocol takes. */
export const SIGNATURE_BYTES = 64;

/** One envelope that is to be opened. */
export interface Item {
  readonly keyId: number;
  readonly signature: Uint8Array;
  readonly signingInput: Uint8Array;
  /** The part of the signing input behind the dot, canonical base64url. */
  readonly payload: string;
  readonly dictionary: DictionaryId | null;
}

/** The JSON that was signed, or why it cannot be had. */
export type Outcome = Uint8Array | keyof typeof NOT_OPENED;

/** What a thread is to open: a few numbers and one run of bytes, because objects cost more to hand over than to open. */
export interface Batch {
  /** The keys that it was given so far are of no more use. */
  readonly forget: boolean;
  readonly add: readonly { readonly id: number; readonly jwk: JsonWebKey }[];
  /** Three an item: its key's id, bytes of its signing input, where the payload begins in that. */
  readonly numbers: Uint32Array;
  readonly dictionaries: readonly (DictionaryId | null)[];
  /** Item by item its signature, then its signing input. */
  readonly bytes: Uint8Array;
}

/** What became of a batch, item by item. */
export interface Opened {
  /** Bytes of JSON, or a number of NOT_OPENED. */
  readonly lengths: Int32Array;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

const NOT_OPENED = { signature_invalid: -1, payload_too_large: -2, payload_malformed: -3 } as const;
const CODE_OF = new Map<number, keyof typeof NOT_OPENED>(
  Object.entries(NOT_OPENED).map(([code, number]) => [number, code as keyof typeof NOT_OPENED]),
);

export function* itemsOf({ numbers, dictionaries, bytes }: Batch): Generator<Item> {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  for (const [n, dictionary] of dictionaries.entries()) {
    const [keyId = -1, length = 0, payloadAt = 0] = numbers.subarray(n * 3, n * 3 + 3);
    const signature = all.subarray(at, (at += SIGNATURE_BYTES));
    const signingInput = all.subarray(at, (at += length));
    yield { keyId, signature, signingInput, payload: signingInput.toString('latin1', payloadAt), dictionary };
  }
}

export function pack(outcomes: readonly Outcome[]): Opened {
  const bytes = new Uint8Array(
    outcomes.reduce((sum, outcome) => sum + (typeof outcome === 'string' ? 0 : outcome.length), 0),
  );
  const lengths = new Int32Array(outcomes.length);
  let at = 0;
  for (const [n, outcome] of outcomes.entries())
    if (typeof outcome === 'string') lengths[n] = NOT_OPENED[outcome];
    else {
      bytes.set(outcome, at);
      at += lengths[n] = outcome.length;
    }
  return { lengths, bytes };
}

export function outcomesOf({ lengths, bytes }: Opened): Outcome[] {
  let at = 0;
  return Array.from(lengths, (length) => CODE_OF.get(length) ?? bytes.subarray(at, (at += length)));
}
