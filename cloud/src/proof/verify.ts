import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { parseCrash, type Crash } from '@paddock/shared/crash.ts';
import { DICTIONARIES } from '@paddock/shared/dictionary.ts';
import {
  digestOf,
  openEnvelope,
  parseEnvelope,
  type Envelope,
  type Inflate,
  type SealedKind,
} from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { importVerificationKey, KeyError, type VerificationKey } from '@paddock/shared/keys.ts';
import { parseInventory, type Inventory } from '@paddock/shared/inventory.ts';
import { parseReport, type Report } from '@paddock/shared/report.ts';

const Jwk = Type.Object({ kty: Type.String() });

/** What a device signed, exported with all that it takes to verify it without the service. */
const Proof = Type.Object({
  deviceId: Type.String(),
  receivedAt: Type.String(),
  digest: Type.String(),
  envelope: Type.String(),
  key: Jwk,
  keys: Type.Array(Type.Object({ thumbprint: Type.String(), jwk: Jwk })),
  dictionary: Type.Union([Type.Null(), Type.String()]),
});
type Proof = Static<typeof Proof>;
const validator = Compile(Proof);

export const PROOF_ERRORS = {
  proof_malformed: 'This is not an exported proof',
  envelope_refused: 'The envelope does not verify',
  digest_mismatch: 'The digest is not that of the envelope',
  key_mismatch: 'The key is not the one that the envelope names',
  key_not_in_history: 'The key is not in the history of the device’s keys',
  key_pinned_other: 'The key is not the one that was expected',
  dictionary_mismatch: 'The dictionary is not the one that the envelope was made with',
  device_mismatch: 'What was signed names another device',
} as const satisfies Record<string, string>;

export class ProofError extends Error {
  override readonly name = 'ProofError';
  readonly code: keyof typeof PROOF_ERRORS;
  constructor(code: ProofError['code'], detail?: string, options?: ErrorOptions) {
    super(detail === undefined ? PROOF_ERRORS[code] : `${PROOF_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}

export interface VerifiedProof {
  readonly deviceId: string;
  /** What the service said; the only part that no signature of the device covers. */
  readonly receivedAt: string;
  readonly digest: string;
  /** RFC 7638: compare it with what you know of the device. */
  readonly thumbprint: string;
  /** What was signed, under the name of its kind. */
  readonly signed: { readonly report: Report } | { readonly inventory: Inventory } | { readonly crash: Crash };
}

/**
 * Verifies an exported proof, offline. It proves that the holder of this key signed this; that the key is the
 * device's is for the reader to know, by its thumbprint.
 * @param pinned the thumbprint that the key has to have
 * @throws ProofError
 */
export async function verifyProof(exported: unknown, inflater: Inflate, pinned?: string): Promise<VerifiedProof> {
  const proof = parseProof(exported);
  const envelope = await refusing(async () => parseEnvelope(proof.envelope));
  const digest = await digestOf(envelope);
  if (digest !== proof.digest) throw new ProofError('digest_mismatch', digest);
  const key = await signingKey(proof, envelope);
  if (pinned !== undefined && pinned !== key.thumbprint) throw new ProofError('key_pinned_other', key.thumbprint);
  checkDictionary(proof, envelope);
  const { device, signed } = await refusing(async () =>
    readSigned(envelope.kind, await openEnvelope(envelope, key, inflater)),
  );
  if (device !== proof.deviceId) throw new ProofError('device_mismatch', device);
  return { deviceId: device, receivedAt: proof.receivedAt, digest, thumbprint: key.thumbprint, signed };
}

function readSigned(kind: SealedKind, payload: unknown): { device: string; signed: VerifiedProof['signed'] } {
  if (kind === 'inventory') {
    const inventory = parseInventory(payload);
    return { device: inventory.device, signed: { inventory } };
  }
  if (kind === 'crash') {
    const crash = parseCrash(payload);
    return { device: crash.device, signed: { crash } };
  }
  if (kind !== 'report') throw new Refusal('typ_mismatch', kind);
  const report = parseReport(payload);
  return { device: report.device, signed: { report } };
}

function parseProof(exported: unknown): Proof {
  if (validator.Check(exported)) return exported;
  const [first] = validator.Errors(exported);
  throw new ProofError('proof_malformed', first && `${first.instancePath || '/'} ${first.message}`);
}

async function signingKey(proof: Proof, envelope: Envelope): Promise<VerificationKey> {
  const key = await importKey(proof.key);
  if (key.keyId !== envelope.keyId) throw new ProofError('key_mismatch', envelope.keyId);
  const listed = proof.keys.find(({ thumbprint }) => thumbprint === key.thumbprint);
  // The list says a thumbprint and a key: both have to be this key's.
  const same = listed !== undefined && (await importKey(listed.jwk)).thumbprint === key.thumbprint;
  if (!same) throw new ProofError('key_not_in_history', key.thumbprint);
  return key;
}

async function importKey(jwk: Static<typeof Jwk>): Promise<VerificationKey> {
  try {
    return await importVerificationKey(jwk);
  } catch (cause) {
    if (cause instanceof KeyError) throw new ProofError('proof_malformed', cause.message, { cause });
    throw cause;
  }
}

function checkDictionary({ dictionary }: Proof, envelope: Envelope): void {
  const known = envelope.dictionary && Buffer.from(DICTIONARIES[envelope.dictionary]).toString('base64');
  if (known !== dictionary) throw new ProofError('dictionary_mismatch', envelope.dictionary ?? 'none');
}

async function refusing<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    if (cause instanceof Refusal)
      throw new ProofError('envelope_refused', `${cause.code}: ${cause.message}`, { cause });
    throw cause;
  }
}
