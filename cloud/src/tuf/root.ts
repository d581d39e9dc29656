import type { WallMs } from '@paddock/shared/time.ts';
import { EXPIRY_DAYS, expiresAt, SPEC_VERSION, type Key, type Keys, type Metadata, type Signed } from './formats.ts';
import { RepositoryError } from './repository-error.ts';
import { checkSigned, keyIdOf, signersOf } from './signatures.ts';

/** Roles whose keys people hold. */
export const OFFLINE_ROLES = ['root', 'targets'] as const;
export type OfflineRole = (typeof OFFLINE_ROLES)[number];

/** One key each, which the service holds. */
export interface OnlineKeys {
  readonly snapshot: Key;
  readonly timestamp: Key;
}

export interface Ceremony {
  readonly root: { readonly keys: readonly Key[]; readonly threshold: number };
  readonly targets: { readonly keys: readonly Key[]; readonly threshold: number };
  readonly online: OnlineKeys;
}

/** What the next root says otherwise. */
export interface RootChange {
  readonly add?: readonly { readonly role: OfflineRole; readonly key: Key }[];
  /** Ids of keys that lose every offline role that they have. */
  readonly revoke?: readonly string[];
  readonly thresholds?: Partial<Record<OfflineRole, number>>;
  readonly online?: OnlineKeys;
}

/** Root version 1. @throws RepositoryError `firmware_root_invalid` */
export const newRoot = ({ root, targets, online }: Ceremony, now: WallMs): Metadata<'root'> =>
  unsignedRoot(
    1,
    { root: root.keys, targets: targets.keys, snapshot: [online.snapshot], timestamp: [online.timestamp] },
    { root: root.threshold, targets: targets.threshold },
    now,
  );

/**
 * The root that follows: a year from now, with what is to change.
 * @throws RepositoryError `firmware_root_invalid`, `key_unlisted` when a key to be revoked has no role
 */
export function nextRoot({ signed }: Metadata<'root'>, change: RootChange, now: WallMs): Metadata<'root'> {
  const { add = [], revoke = [], thresholds = {}, online } = change;
  for (const id of revoke)
    if (!OFFLINE_ROLES.some((role) => signed.roles[role].keyids.includes(id)))
      throw new RepositoryError('key_unlisted', id);
  const kept = (role: OfflineRole): Key[] => [
    ...keysOf(signed, role).filter((key) => !revoke.includes(keyIdOf(key))),
    ...add.filter((one) => one.role === role).map(({ key }) => key),
  ];
  return unsignedRoot(
    signed.version + 1,
    {
      root: kept('root'),
      targets: kept('targets'),
      snapshot: online ? [online.snapshot] : keysOf(signed, 'snapshot'),
      timestamp: online ? [online.timestamp] : keysOf(signed, 'timestamp'),
    },
    {
      root: thresholds.root ?? signed.roles.root.threshold,
      targets: thresholds.targets ?? signed.roles.targets.threshold,
    },
    now,
  );
}

type RoleKeys = Readonly<Record<keyof Signed<'root'>['roles'], readonly Key[]>>;

function unsignedRoot(
  version: number,
  keys: RoleKeys,
  thresholds: Readonly<Record<OfflineRole, number>>,
  now: WallMs,
): Metadata<'root'> {
  const role = (of: readonly Key[], threshold: number) => ({ keyids: [...new Set(of.map(keyIdOf))], threshold });
  const root: Metadata<'root'> = {
    signatures: [],
    signed: {
      _type: 'root',
      spec_version: SPEC_VERSION,
      version,
      expires: expiresAt(now, EXPIRY_DAYS.root),
      consistent_snapshot: true,
      keys: Object.fromEntries(
        Object.values(keys)
          .flat()
          .map((key) => [keyIdOf(key), key]),
      ),
      roles: {
        root: role(keys.root, thresholds.root),
        targets: role(keys.targets, thresholds.targets),
        snapshot: role(keys.snapshot, 1),
        timestamp: role(keys.timestamp, 1),
      },
    },
  };
  checkRoles(root);
  return root;
}

const keysOf = ({ keys, roles }: Signed<'root'>, role: keyof Signed<'root'>['roles']): Key[] =>
  roles[role].keyids.flatMap((id) => keys[id] ?? []);

/** @throws RepositoryError `firmware_root_invalid` */
function checkRoles({ signed: { keys, roles } }: Metadata<'root'>): void {
  const refuse = (why: string): never => {
    throw new RepositoryError('firmware_root_invalid', why);
  };
  for (const [id, key] of Object.entries(keys)) if (keyIdOf(key) !== id) refuse(`${id} is not the id of its key`);
  for (const [name, { keyids, threshold }] of Object.entries(roles)) {
    if (keyids.some((id) => !Object.hasOwn(keys, id))) refuse(`a key of ${name} is missing`);
    if (threshold > keyids.length) refuse(`${name} has ${keyids.length} keys, and a threshold of ${threshold}`);
  }
  // Who holds what is online could sign what has to be signed offline.
  const online = new Set([...roles.snapshot.keyids, ...roles.timestamp.keyids]);
  for (const role of OFFLINE_ROLES)
    if (roles[role].keyids.some((id) => online.has(id))) refuse(`a key of ${role} is an online key, too`);
}

/**
 * Whether a root may follow (5.3.4, 5.3.5): signed by a threshold of the one before and by one of its own.
 * @param previous null: it is the first one, of any version
 * @throws RepositoryError
 */
export function checkRoot(previous: Metadata<'root'> | null, next: Metadata<'root'>): void {
  checkRoles(next);
  const { keys, roles, version } = next.signed;
  if (previous !== null) {
    const before = previous.signed;
    if (version === before.version)
      throw new RepositoryError('metadata_out_of_step', `root ${version} is there already: a new one is made from it`);
    if (version !== before.version + 1)
      throw new RepositoryError('metadata_out_of_step', `root ${version} after ${before.version}`);
    checkSigned(before.roles.root, before.keys, next, `by keys of root ${before.version}: ${SIGN_MORE}`);
  }
  checkSigned(roles.root, keys, next, `by its own keys of root: ${SIGN_MORE}`);
}

const SIGN_MORE = '`paddock keys sign` adds one';

/** How far the signing of metadata has come, by the keys that count. */
export interface Progress {
  readonly by: string;
  readonly signed: readonly string[];
  readonly threshold: number;
}

export function progressOfRoot(previous: Metadata<'root'> | null, next: Metadata<'root'>): Progress[] {
  const of = ({ keys, roles: { root }, version }: Signed<'root'>): Progress => ({
    by: `root ${version}`,
    signed: signersOf(root, keys, next),
    threshold: root.threshold,
  });
  return [...(previous ? [of(previous.signed)] : []), of(next.signed)];
}

export const isComplete = (progress: readonly Progress[]): boolean =>
  progress.every(({ signed, threshold }) => signed.length >= threshold);

/** The key of a role by its whole id, or by how it begins. @throws RepositoryError `key_unlisted` */
export function keyIdLike({ keys }: { readonly keys: Keys }, start: string): string {
  const found = Object.keys(keys).filter((id) => id.startsWith(start));
  const [id] = found;
  if (start === '') throw new RepositoryError('key_unlisted', 'name one, as `paddock keys list` shows them');
  if (found.length > 1) throw new RepositoryError('key_unlisted', `${found.length} begin with ${start}`);
  if (id === undefined) throw new RepositoryError('key_unlisted', start);
  return id;
}
