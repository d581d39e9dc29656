import { fromInstant, toInstant, type WallMs } from '@paddock/shared/time.ts';
import type { Static, TSchema } from 'typebox';
import * as Type from 'typebox';
import { Compile, type Validator } from 'typebox/schema';
import { parseStrictJson } from './strict-json.ts';
import { TufError } from './tuf-error.ts';

/*
 * Section 4 of the specification. Members that nobody knows are kept, because signatures cover them. The models of
 * @tufjs/models are not used: they copy all members for each member, so that 120 kB of a snapshot that nobody signed
 * would keep a kiosk busy for 17 s, and they take versions and thresholds that are no counts.
 */

const record = <S extends TSchema>(values: S, least = 0) =>
  Type.Record(Type.String(), values, { additionalProperties: false, minProperties: least });

const Version = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
const Length = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Hashes = record(Type.String({ pattern: '^[0-9a-f]+$' }), 1);
const KeyId = Type.String({ minLength: 1 });

const Key = Type.Object({ keytype: Type.String(), scheme: Type.String(), keyval: record(Type.String()) });
export type Key = Static<typeof Key>;
export type Keys = Readonly<Record<string, Key>>;

const Role = Type.Object({ keyids: Type.Array(KeyId, { uniqueItems: true }), threshold: Version });
export type Role = Static<typeof Role>;

/** What metadata say of another file of metadata. */
const MetaFile = Type.Object({ version: Version, length: Type.Optional(Length), hashes: Type.Optional(Hashes) });
export type MetaFile = Static<typeof MetaFile>;

const TargetFile = Type.Object({ length: Length, hashes: Hashes });
export type TargetFile = Static<typeof TargetFile>;

const DelegatedRole = Type.Object({
  ...Role.properties,
  name: Type.String(),
  terminating: Type.Boolean(),
  paths: Type.Optional(Type.Array(Type.String())),
  path_hash_prefixes: Type.Optional(Type.Array(Type.String())),
});
export type DelegatedRole = Static<typeof DelegatedRole>;

/** TAP 15: bins by the hash of the path, all of them under the same keys. */
const SuccinctRoles = Type.Object({
  ...Role.properties,
  bit_length: Type.Integer({ minimum: 1, maximum: 32 }),
  name_prefix: Type.String({ minLength: 1 }),
});

const Delegations = Type.Object({
  keys: record(Key),
  roles: Type.Optional(Type.Array(DelegatedRole)),
  succinct_roles: Type.Optional(SuccinctRoles),
});
export type Delegations = Static<typeof Delegations>;

const common = {
  // The major version is what has to fit (4.3).
  spec_version: Type.String({ pattern: '^1(\\.[0-9]+){1,2}$' }),
  version: Version,
  expires: Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$' }),
};

const SIGNED = {
  root: Type.Object({
    _type: Type.Literal('root'),
    ...common,
    consistent_snapshot: Type.Optional(Type.Boolean()),
    keys: record(Key),
    roles: Type.Object({ root: Role, timestamp: Role, snapshot: Role, targets: Role }),
  }),
  timestamp: Type.Object({
    _type: Type.Literal('timestamp'),
    ...common,
    meta: Type.Object({ 'snapshot.json': MetaFile }, { additionalProperties: false }),
  }),
  snapshot: Type.Object({
    _type: Type.Literal('snapshot'),
    ...common,
    meta: Type.Intersect([record(MetaFile), Type.Object({ 'targets.json': MetaFile })]),
  }),
  targets: Type.Object({
    _type: Type.Literal('targets'),
    ...common,
    targets: record(TargetFile),
    delegations: Type.Optional(Delegations),
  }),
};
export type TopRole = keyof typeof SIGNED;
export const TOP_ROLES = ['root', 'timestamp', 'snapshot', 'targets'] as const satisfies readonly TopRole[];

/** Metadata as they came, and what they say. `signed` is what came, members included that nobody knows. */
export interface Metadata<T extends TopRole> {
  readonly signed: Static<(typeof SIGNED)[T]>;
  /** By the id of the key that made it. */
  readonly signatures: ReadonlyMap<string, string>;
  readonly bytes: Uint8Array;
}
export type Root = Metadata<'root'>;
export type Timestamp = Metadata<'timestamp'>;
export type Snapshot = Metadata<'snapshot'>;
export type Targets = Metadata<'targets'>;

const readerOf = <S extends TSchema>(signed: S) => {
  const shape = Type.Object({
    signed,
    signatures: Type.Array(Type.Object({ keyid: KeyId, sig: Type.String() })),
  });
  let compiled: Validator<typeof shape> | null = null;
  return (bytes: Uint8Array): Static<typeof shape> => {
    const value = parseStrictJson(bytes);
    const validator = (compiled ??= Compile(shape));
    if (validator.Check(value)) return value;
    const [, [first]] = validator.Errors(value);
    throw new TufError('tuf_malformed', first && `${first.instancePath || '/'} ${first.message}`);
  };
};

const READERS = {
  root: readerOf(SIGNED.root),
  timestamp: readerOf(SIGNED.timestamp),
  snapshot: readerOf(SIGNED.snapshot),
  targets: readerOf(SIGNED.targets),
};

/** The readers of metadata: shape only, nothing of them is verified. @throws TufError `tuf_malformed` */
export const parseRoot = (bytes: Uint8Array): Root => metadataOf(READERS.root(bytes), bytes);
export const parseTimestamp = (bytes: Uint8Array): Timestamp => metadataOf(READERS.timestamp(bytes), bytes);
export const parseSnapshot = (bytes: Uint8Array): Snapshot => metadataOf(READERS.snapshot(bytes), bytes);
export function parseTargets(bytes: Uint8Array): Targets {
  const read = metadataOf(READERS.targets(bytes), bytes);
  if (read.signed.delegations) checkDelegations(read.signed.delegations);
  return read;
}

function metadataOf<S extends { readonly expires: string }>(
  { signed, signatures }: { signed: S; signatures: { keyid: string; sig: string }[] },
  bytes: Uint8Array,
) {
  expiryOf(signed);
  const byKey = new Map(signatures.map(({ keyid, sig }) => [keyid, sig] as const));
  // 4.2: one signature for each key.
  if (byKey.size < signatures.length) throw new TufError('tuf_malformed', 'two signatures of one key');
  return { signed, signatures: byKey, bytes };
}

/** @throws TufError `tuf_malformed` for a day that no calendar has: by other readers it would never come */
export function expiryOf({ expires }: { readonly expires: string }): WallMs {
  const at = fromInstant(expires);
  if (Number.isNaN(at) || toInstant(at) !== expires.replace('Z', '.000Z'))
    throw new TufError('tuf_malformed', `${expires} is no time`);
  return at;
}

function checkDelegations({ roles = [], succinct_roles: bins }: Delegations): void {
  const names = new Set<string>(TOP_ROLES);
  for (const { name, paths, path_hash_prefixes: prefixes } of roles) {
    if (names.has(name)) throw new TufError('tuf_malformed', `the role ${name} is there twice`);
    if (paths && prefixes) throw new TufError('tuf_malformed', `${name} has paths and path_hash_prefixes`);
    names.add(name);
  }
  if (bins && roles.length > 0) throw new TufError('tuf_malformed', 'roles and succinct_roles');
}
