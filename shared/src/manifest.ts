import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Compile, type Validator } from 'typebox/schema';
import { BundleError } from './bundle-error.ts';
import { Count } from './message.ts';

/** SHA-256 in lower-case hex, as TUF's metadata and `sha256sum` write it. */
export const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' });
const closed = { additionalProperties: false };

const MANIFEST_VERSION = 1;
/** Bounds of one bundle: what a device must be able to hold in memory, and in a slot. */
export const MAX_MANIFEST_BYTES = 65_536;
export const MAX_INDEX_BYTES = 33_554_432;
export const MAX_BUNDLE_FILES = 100_000;
export const MAX_FILE_BYTES = 4_294_967_295;

export const BUNDLE_NAME_PATTERN = '^[a-z0-9][a-z0-9-]{0,62}$';
export const BundleName = Type.String({ pattern: BUNDLE_NAME_PATTERN });
/** For people: what orders releases is the counter. */
export const BundleVersion = Type.String({ pattern: '^[0-9A-Za-z][0-9A-Za-z.+-]{0,63}$' });
/** Grows with every release of a name; a rollback is a new release with old content. */
export const ReleaseCounter = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

/** What comes first is a path in the slot, or the name of a program of the machine. */
const CommandLine = Type.Array(Type.String({ minLength: 1, maxLength: 1024, pattern: '^[^\\u0000]*$' }), {
  minItems: 1,
  maxItems: 32,
});
const seconds = (maximum: number) => Type.Integer({ minimum: 1, maximum });

const Hook = Type.Object({ command: CommandLine, timeoutSeconds: seconds(3600) }, closed);
export type Hook = Static<typeof Hook>;

/** By what a trial is judged, on the device and by nobody else. */
const Health = Type.Object(
  {
    /** All of it must hold at once within this time after the start, or the device goes back. */
    withinSeconds: seconds(3600),
    /** And for so long without a break. */
    settleSeconds: Type.Integer({ minimum: 0, maximum: 3600 }),
    /** As many sensors must be good as were good before the switch. */
    sensors: Type.Boolean(),
    /** A program of the bundle that exits with 0 while all is well. */
    probe: Type.Optional(Type.Object({ command: CommandLine, timeoutSeconds: seconds(300) }, closed)),
  },
  closed,
);

const Hashed = Type.Object({ sha256: Sha256, bytes: Count }, closed);

/**
 * What a release is. Its SHA-256 is the release's digest and what TUF signs as a target; everything else hangs on the
 * hashes in it: the index, and through the index every file.
 */
export const Manifest = Type.Object(
  {
    v: Type.Literal(MANIFEST_VERSION),
    name: BundleName,
    version: BundleVersion,
    counter: ReleaseCounter,
    /** Models that it fits; a device of none of these refuses it. */
    models: Type.Array(Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }), { minItems: 1, maxItems: 64 }),
    /** The least counter that a device must run to come from; absent means any, and none. */
    fromCounter: Type.Optional(ReleaseCounter),
    /** What installs it; absent: the agent itself, into a slot of its own. */
    installer: Type.Optional(Type.Literal('rauc')),
    index: Hashed,
    /** CycloneDX 1.6. */
    sbom: Hashed,
    /** Of the payload's files, as they lie in a slot. */
    files: Count,
    bytes: Count,
    /** What the launcher runs; absent: nothing, the bundle is data. */
    run: Type.Optional(Type.Object({ command: CommandLine }, closed)),
    /** `before` runs from the new slot before the switch, `after` behind it; a failure ends the update, or the trial. */
    hooks: Type.Optional(Type.Object({ before: Type.Optional(Hook), after: Type.Optional(Hook) }, closed)),
    health: Health,
  },
  closed,
);
export type Manifest = Static<typeof Manifest>;

let compiled: Validator<typeof Manifest> | null = null;

/**
 * The one reader of a manifest. Closed: a key that nobody knows could change what the others mean.
 * @throws BundleError `manifest_version_unsupported` or `manifest_invalid`
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES) throw new BundleError('manifest_invalid', `${bytes.length} bytes`);
  const value = parseJson(bytes);
  const v = typeof value === 'object' && value !== null && 'v' in value ? value.v : undefined;
  if (typeof v === 'number' && v !== MANIFEST_VERSION) throw new BundleError('manifest_version_unsupported', `v ${v}`);
  const validator = (compiled ??= Compile(Manifest));
  if (!validator.Check(value)) {
    const [, [first]] = validator.Errors(value);
    throw new BundleError('manifest_invalid', first && `${first.instancePath || '/'} ${first.message}`);
  }
  return value;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (cause) {
    throw new BundleError('manifest_invalid', 'not JSON in UTF-8', { cause });
  }
}

/** The path of the TUF target that is this release's manifest. */
export const targetPathOf = ({ name, counter }: Pick<Manifest, 'name' | 'counter'>): string =>
  `${name}/${counter}.json`;
