import { BundleName, BundleVersion, Manifest, ReleaseCounter, Sha256 } from '@paddock/shared/manifest.ts';
import { fromInstant, toInstant, wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Static, TProperties, TSchema } from 'typebox';
import * as Type from 'typebox';
import { Compile, type Validator } from 'typebox/schema';
import { RepositoryError } from './repository-error.ts';

/*
 * Metadata of The Update Framework (section 4 of the specification), as this service writes them. Closed: what it does
 * not know it did not write, and does not publish.
 */

export const SPEC_VERSION = '1.0.31';
export const ROLES = ['root', 'targets', 'snapshot', 'timestamp'] as const;
export type RoleName = (typeof ROLES)[number];

const closed = <P extends TProperties>(properties: P) => Type.Object(properties, { additionalProperties: false });
const record = <S extends TSchema>(values: S) => Type.Record(Type.String(), values, { additionalProperties: false });

/** Ed25519 alone, written in one way: so one key has one id. */
export const Key = closed({
  keytype: Type.Literal('ed25519'),
  scheme: Type.Literal('ed25519'),
  keyval: closed({ public: Type.String({ pattern: '^[0-9a-f]{64}$' }) }),
});
export type Key = Static<typeof Key>;
export type Keys = Readonly<Record<string, Key>>;

const Version = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const Length = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Hashes = closed({ sha256: Sha256 });

const Role = closed({
  keyids: Type.Array(Sha256, { minItems: 1, uniqueItems: true, maxItems: 32 }),
  threshold: Version,
});
export type Role = Static<typeof Role>;

const MetaFile = closed({ version: Version, length: Length, hashes: Hashes });

/** What metadata say of a release beside its manifest's length and hash, so that people and clients see it without it. */
const Custom = closed({
  name: BundleName,
  version: BundleVersion,
  counter: ReleaseCounter,
  models: Manifest.properties.models,
});
const TargetFile = closed({ length: Length, hashes: Hashes, custom: Custom });
export type TargetFile = Static<typeof TargetFile>;

const common = {
  spec_version: Type.Literal(SPEC_VERSION),
  version: Version,
  expires: Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$' }),
};

const SIGNED = {
  root: closed({
    _type: Type.Literal('root'),
    ...common,
    consistent_snapshot: Type.Literal(true),
    keys: record(Key),
    roles: closed({ root: Role, targets: Role, snapshot: Role, timestamp: Role }),
  }),
  targets: closed({ _type: Type.Literal('targets'), ...common, targets: record(TargetFile) }),
  snapshot: closed({ _type: Type.Literal('snapshot'), ...common, meta: closed({ 'targets.json': MetaFile }) }),
  timestamp: closed({ _type: Type.Literal('timestamp'), ...common, meta: closed({ 'snapshot.json': MetaFile }) }),
};
export type Signed<R extends RoleName> = Static<(typeof SIGNED)[R]>;

export interface Signature {
  readonly keyid: string;
  readonly sig: string;
}
export interface Metadata<R extends RoleName> {
  readonly signatures: readonly Signature[];
  readonly signed: Signed<R>;
}

const fileOf = <S extends TSchema>(signed: S) =>
  closed({
    signatures: Type.Array(closed({ keyid: Sha256, sig: Type.String({ pattern: '^[0-9a-f]{128}$' }) }), {
      maxItems: 64,
    }),
    signed,
  });

const readerOf = <S extends TSchema>(signed: S) => {
  const shape = fileOf(signed);
  let compiled: Validator<typeof shape> | null = null;
  return (text: string): Static<typeof shape> => {
    const value = parseJson(text);
    const validator = (compiled ??= Compile(shape));
    if (validator.Check(value)) return value;
    const [, [first]] = validator.Errors(value);
    throw new RepositoryError('metadata_malformed', first && `${first.instancePath || '/'} ${first.message}`);
  };
};

const READERS = {
  root: readerOf(SIGNED.root),
  targets: readerOf(SIGNED.targets),
  snapshot: readerOf(SIGNED.snapshot),
  timestamp: readerOf(SIGNED.timestamp),
};

/** The readers: shape only, nothing is verified. @throws RepositoryError `metadata_malformed` */
export const parseRoot = (text: string): Metadata<'root'> => checked(READERS.root(text));
export const parseTargets = (text: string): Metadata<'targets'> => checked(READERS.targets(text));
export const parseSnapshot = (text: string): Metadata<'snapshot'> => checked(READERS.snapshot(text));
export const parseTimestamp = (text: string): Metadata<'timestamp'> => checked(READERS.timestamp(text));

/** Metadata that people sign, whichever of the two it is. */
export function parseOffline(text: string): Metadata<'root'> | Metadata<'targets'> {
  const value = parseJson(text);
  const signed: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'signed') : undefined;
  const type: unknown = typeof signed === 'object' && signed !== null ? Reflect.get(signed, '_type') : undefined;
  return type === 'root' ? parseRoot(text) : parseTargets(text);
}

function checked<
  M extends { readonly signatures: readonly Signature[]; readonly signed: { readonly expires: string } },
>(metadata: M): M {
  expiryOf(metadata.signed);
  // 4.2: one signature of each key.
  if (new Set(metadata.signatures.map(({ keyid }) => keyid)).size < metadata.signatures.length)
    throw new RepositoryError('metadata_malformed', 'two signatures of one key');
  return metadata;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new RepositoryError('metadata_malformed', 'not JSON', { cause });
  }
}

/** As a file. Whatever was read is written in this form, so that one content has one hash. */
export const formatMetadata = ({ signatures, signed }: Metadata<RoleName>): string =>
  `${JSON.stringify({ signatures, signed }, null, 1)}\n`;

/** The only form of a time that the specification has: no fractions of seconds. */
export const expiresAt = (now: WallMs, days: number): string =>
  toInstant(wallMs(now + days * DAY_MS)).replace(/\.\d{3}Z$/, 'Z');

/** @throws RepositoryError `metadata_malformed` for a day that no calendar has */
export function expiryOf({ expires }: { readonly expires: string }): WallMs {
  const at = fromInstant(expires);
  if (Number.isNaN(at) || toInstant(at) !== expires.replace('Z', '.000Z'))
    throw new RepositoryError('metadata_malformed', `${expires} is no time`);
  return at;
}

export const DAY_MS = 86_400_000;

/** How long metadata are good for, by who signs them: people seldom, the service all the time. */
export const EXPIRY_DAYS = { root: 365, targets: 90, snapshot: 7, timestamp: 1 } as const satisfies Record<
  RoleName,
  number
>;

/**
 * The version that follows. Those of root are counted one by one, as clients walk them. All others grow with the time:
 * what a restored backup goes on with is above everything that devices have seen before.
 */
export const versionAfter = (previous: number | null, now: WallMs): number =>
  Math.max((previous ?? 0) + 1, Math.floor(now / 1000));
