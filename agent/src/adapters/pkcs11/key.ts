import { randomBytes } from 'node:crypto';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import type { Attribute, Handle, PKCS11 } from 'pkcs11js';
import { curveOfKey, curveOfKind, publicJwk, type Curve, type KeyKind } from './curve.ts';
import { asTokenError, coded, refusalOf, TokenError } from './error.ts';
import { CK } from './module.ts';
import type { TokenSession } from './session.ts';

/** How a key is told from the others on its token: by CKA_LABEL, or by CKA_ID in hex. */
export interface KeyName {
  readonly label?: string;
  readonly id?: string;
}

/** A private key on a token, in one session. */
export interface TokenKey {
  readonly handle: Handle;
  readonly curve: Curve;
  /** What C_SignInit takes for it. */
  readonly mechanism: number;
  /** Whether the token hashes, or we do. */
  readonly hashes: boolean;
  readonly public: VerificationKey;
  /** Whether the token would give the key away, wrapped or in the clear. */
  readonly extractable: boolean;
}

const MOST_FOUND = 16;
/** What a token says of an attribute that an object has not, or that it keeps to itself. */
const UNTOLD = ['CKR_ATTRIBUTE_TYPE_INVALID', 'CKR_ATTRIBUTE_SENSITIVE'];

/** @throws TokenError about the key */
export async function findKey(calls: PKCS11, token: TokenSession, name: KeyName): Promise<TokenKey> {
  const handles = coded('token_failed', 'The keys cannot be listed', () =>
    find(calls, token.session, CK.class.privateKey, name),
  );
  const [handle] = handles;
  if (handle === undefined)
    throw new TokenError(
      'key_missing',
      `There is no private key ${worded(name)} on the token: "paddock-agent init" makes one`,
    );
  if (handles.length > 1)
    throw new TokenError(
      'key_ambiguous',
      `There are ${handles.length} private keys ${worded(name)} on the token: name one by key.pkcs11.id`,
    );
  return describeKey(calls, token, name, handle);
}

/**
 * Makes a key pair that signs, never leaves the token, and is there after a power cut.
 * @throws TokenError `key_not_made`
 */
export async function makeKey(calls: PKCS11, { session }: TokenSession, name: KeyName, kind: KeyKind): Promise<void> {
  const curve = curveOfKind(kind);
  if (curve === undefined) throw new TokenError('key_unsupported', `No device can have a key of kind ${kind}`);
  const { attribute } = CK;
  const both: Attribute[] = [
    { type: attribute.token, value: true },
    { type: attribute.label, value: name.label ?? 'paddock' },
    { type: attribute.id, value: name.id === undefined ? randomBytes(8) : Buffer.from(name.id, 'hex') },
  ];
  const open: Attribute[] = [
    { type: attribute.private, value: false },
    { type: attribute.verify, value: true },
    { type: attribute.ecParams, value: Buffer.from(curve.params[0], 'hex') },
  ];
  const secret: Attribute[] = [
    { type: attribute.private, value: true },
    { type: attribute.sensitive, value: true },
    { type: attribute.extractable, value: false },
    { type: attribute.sign, value: true },
  ];
  try {
    await calls.C_GenerateKeyPairAsync(
      session,
      { mechanism: curve.generate },
      [...both, ...open],
      [...both, ...secret],
    );
  } catch (cause) {
    throw asTokenError('key_not_made', `The token makes no ${kind} key`, cause);
  }
}

async function describeKey(calls: PKCS11, token: TokenSession, name: KeyName, handle: Handle): Promise<TokenKey> {
  const read = (type: number): Buffer | null => attributeOf(calls, token.session, handle, type);
  const { attribute } = CK;
  const curve = curveOfKey(read(attribute.keyType)?.readUInt32LE() ?? -1, read(attribute.ecParams) ?? Buffer.alloc(0));
  if (curve === undefined)
    throw new TokenError('key_unsupported', `The key ${worded(name)} is neither P-256 nor Ed25519`);
  if (read(attribute.sign)?.[0] === 0)
    throw new TokenError('key_unsupported', `The key ${worded(name)} may not sign (CKA_SIGN is false)`);
  const signing = signingOf(
    curve,
    coded('token_failed', 'The mechanisms', () => calls.C_GetMechanismList(token.slot)),
  );
  const extractable = read(attribute.extractable)?.[0] !== 0;
  const publicPart = await publicPartOf(
    calls,
    token,
    { name, id: read(attribute.id), own: read(attribute.ecPoint) },
    curve,
  );
  return { handle, curve, ...signing, public: publicPart, extractable };
}

/** ECDSA over our own hash where the token does that, because every token does the same then. */
function signingOf({ kind }: Curve, offered: readonly number[]): { mechanism: number; hashes: boolean } {
  const { ecdsa, ecdsaSha256, eddsa } = CK.mechanism;
  const usable = kind === 'Ed25519' ? [eddsa] : [ecdsa, ecdsaSha256];
  const mechanism = usable.find((one) => offered.includes(one));
  if (mechanism === undefined) throw new TokenError('key_unsupported', `The token does not sign with ${kind} keys`);
  return { mechanism, hashes: mechanism !== ecdsa };
}

/** The public key object that belongs to the private one, by its id, else by its label. */
async function publicPartOf(
  calls: PKCS11,
  { session }: TokenSession,
  known: { name: KeyName; id: Buffer | null; own: Buffer | null },
  curve: Curve,
): Promise<VerificationKey> {
  const name = known.id === null || known.id.length === 0 ? known.name : { id: known.id.toString('hex') };
  const handles = coded('token_failed', 'The public keys cannot be listed', () =>
    find(calls, session, CK.class.publicKey, name),
  );
  const points = handles.map((handle) => attributeOf(calls, session, handle, CK.attribute.ecPoint));
  for (const point of [...points, known.own]) {
    const jwk = point === null ? null : publicJwk(curve, point);
    if (jwk !== null) return importPublic(jwk);
  }
  throw new TokenError(
    'key_public_missing',
    `The token does not hold the public part of the key ${worded(known.name)}`,
  );
}

async function importPublic(jwk: Parameters<typeof importVerificationKey>[0]): Promise<VerificationKey> {
  try {
    return await importVerificationKey(jwk);
  } catch (cause) {
    throw new TokenError('key_public_missing', 'The public key on the token is not on its curve', { cause });
  }
}

function find(calls: PKCS11, session: Handle, objectClass: number, { label, id }: KeyName): Handle[] {
  const by: Attribute[] = [
    ...(label === undefined ? [] : [{ type: CK.attribute.label, value: label }]),
    ...(id === undefined ? [] : [{ type: CK.attribute.id, value: Buffer.from(id, 'hex') }]),
  ];
  calls.C_FindObjectsInit(session, [{ type: CK.attribute.class, value: objectClass }, ...by]);
  try {
    return calls.C_FindObjects(session, MOST_FOUND);
  } finally {
    calls.C_FindObjectsFinal(session);
  }
}

/** Null when the object has no such attribute, or does not tell. */
function attributeOf(calls: PKCS11, session: Handle, object: Handle, type: number): Buffer | null {
  try {
    return calls.C_GetAttributeValue(session, object, [{ type }])[0]?.value ?? null;
  } catch (cause) {
    if (UNTOLD.includes(refusalOf(cause) ?? '')) return null;
    throw asTokenError('token_failed', 'The token does not describe the key', cause);
  }
}

export const worded = ({ label, id }: KeyName): string => (label === undefined ? `with id ${id ?? ''}` : `"${label}"`);
