import { Worker } from 'node:worker_threads';
import type { Envelope } from '@paddock/shared/envelope.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import type { SignedPayload } from '../../ports.ts';
import { outcomesOf, SIGNATURE_BYTES, type Batch, type Opened, type Outcome } from './batch.ts';

/** An envelope that waits to be opened. */
export interface Wanted {
  readonly envelope: Envelope;
  readonly key: VerificationKey;
  /** SIGNATURE_BYTES long. */
  readonly signature: Uint8Array;
  readonly resolve: (opened: SignedPayload | null) => void;
  readonly reject: (cause: Error) => void;
}

/** Keys that a thread remembers; past that it begins anew. */
const MAX_KEYS = 50_000;

/** What it makes is handed over at once: little survives, so that little memory does. */
const MEMORY = { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: 96 } as const;

/** One thread, replaced when it dies. */
export class OpenerThread {
  readonly #program: URL;
  #worker: Worker;
  /** The ids under which the thread knows keys, by thumbprint. */
  readonly #keyIds = new Map<string, number>();
  /** What it is about to answer, oldest first. */
  #given: (readonly Wanted[])[] = [];
  #waiting = 0;
  #isClosed = false;

  constructor(program: URL) {
    this.#program = program;
    this.#worker = this.#start();
  }

  /** How many envelopes it was given and has not opened. */
  get waiting(): number {
    return this.#waiting;
  }

  open(wanted: readonly Wanted[]): void {
    const forget = this.#keyIds.size + wanted.length > MAX_KEYS;
    if (forget) this.#keyIds.clear();
    const add: { id: number; jwk: VerificationKey['jwk'] }[] = [];
    const keyId = ({ thumbprint, jwk }: VerificationKey): number => {
      const known = this.#keyIds.get(thumbprint);
      if (known !== undefined) return known;
      const id = this.#keyIds.size;
      this.#keyIds.set(thumbprint, id);
      add.push({ id, jwk });
      return id;
    };
    const packed = pack(wanted, keyId);
    this.#given.push(wanted);
    this.#waiting += wanted.length;
    this.#worker.postMessage({ forget, add, ...packed } satisfies Batch, [packed.bytes.buffer]);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker.terminate();
  }

  #start(): Worker {
    const worker = new Worker(this.#program, { name: 'opener', resourceLimits: MEMORY });
    // It never keeps the service from ending.
    worker.unref();
    worker.on('message', (opened: Opened) => this.#conclude(outcomesOf(opened)));
    worker.on('error', (cause) => this.#replace(cause));
    return worker;
  }

  #conclude(outcomes: readonly Outcome[]): void {
    const wanted = this.#given.shift() ?? [];
    this.#waiting -= wanted.length;
    for (const [n, { resolve }] of wanted.entries()) resolve(signedPayload(outcomes[n] ?? 'signature_invalid'));
  }

  /** What it had is tried again by whoever asked, as after any failure of ours. */
  #replace(cause: unknown): void {
    const lost = this.#given.flat();
    this.#given = [];
    this.#waiting = 0;
    this.#keyIds.clear();
    if (!this.#isClosed) this.#worker = this.#start();
    for (const { reject } of lost) reject(new Error('The thread that opens envelopes died', { cause }));
  }
}

function pack(wanted: readonly Wanted[], keyId: (key: VerificationKey) => number) {
  const length = ({ envelope }: Wanted): number => SIGNATURE_BYTES + envelope.signingInput.length;
  // Of its own, not of Node's pool: it is handed over whole.
  const bytes = Buffer.allocUnsafeSlow(wanted.reduce((sum, one) => sum + length(one), 0));
  const numbers = new Uint32Array(wanted.length * 3);
  let at = 0;
  for (const [n, { envelope, key, signature }] of wanted.entries()) {
    const { signingInput, payload } = envelope;
    numbers.set([keyId(key), signingInput.length, signingInput.length - payload.length], n * 3);
    bytes.set(signature, at);
    at += SIGNATURE_BYTES;
    at += bytes.write(signingInput, at, 'latin1');
  }
  return { numbers, bytes, dictionaries: wanted.map(({ envelope }) => envelope.dictionary) };
}

function signedPayload(outcome: Outcome): SignedPayload | null {
  if (outcome === 'signature_invalid') return null;
  return typeof outcome === 'string' ? { code: outcome } : { json: outcome };
}
