import { createHash } from 'node:crypto';
import { FetchError, type Repository } from '@paddock/agent/ports-firmware.ts';
import { targetPathOf, type Manifest } from '@paddock/shared/manifest.ts';
import { canonicalJson, makeKey, type KeyKind, type RoleKey } from './keys.ts';

export const ROLES = ['root', 'timestamp', 'snapshot', 'targets'] as const;
export type RoleName = (typeof ROLES)[number];

export interface Role {
  keys: RoleKey[];
  threshold: number;
  version: number;
  expires: string;
}
export interface Delegated {
  readonly name: string;
  keys: RoleKey[];
  threshold: number;
  version: number;
  readonly paths?: string[];
  readonly path_hash_prefixes?: string[];
  terminating: boolean;
  readonly targets: Record<string, unknown>;
  readonly roles: Delegated[];
}
export type Reply = Uint8Array | null | Error;

const DAY = 86_400_000;
/** When everything begins, in tests. */
export const EPOCH = Date.UTC(2026, 10, 23);
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
/** The only form that the specification has: without fractions of seconds. */
export const daysLater = (days: number): string => new Date(EPOCH + days * DAY).toISOString().replace('.000Z', 'Z');

/** A repository with real keys that does what it is told, lies included. */
export class TufSimulator implements Repository {
  readonly files = new Map<string, Uint8Array>();
  /** What is answered instead of a file. */
  readonly lies = new Map<string, Reply>();
  readonly requests: string[] = [];
  readonly roles: Record<RoleName, Role>;
  readonly targets: Record<string, unknown> = {};
  readonly delegated: Delegated[] = [];
  /** Whether timestamp and snapshot give length and hash of what they name. */
  hashes = true;
  consistent = true;

  constructor(kind: KeyKind = 'ed25519') {
    const role = (count: number, threshold: number, days: number): Role => ({
      keys: Array.from({ length: count }, () => makeKey(kind)),
      threshold,
      version: 0,
      expires: daysLater(days),
    });
    this.roles = { root: role(3, 2, 365), targets: role(3, 2, 90), snapshot: role(1, 1, 7), timestamp: role(1, 1, 1) };
    this.publishRoot();
    this.publish();
  }

  async get(path: string, most: number, signal: AbortSignal): Promise<Uint8Array | null> {
    signal.throwIfAborted();
    this.requests.push(path);
    const lie = this.lies.get(path);
    if (lie instanceof Error) throw lie;
    const bytes = lie === undefined ? (this.files.get(path) ?? null) : lie;
    if (bytes && bytes.length > most) throw new FetchError('fetch_too_large', path);
    return bytes;
  }

  async *part(): AsyncGenerator<Uint8Array> {}

  file(path: string): Uint8Array {
    return this.files.get(path) ?? new Uint8Array();
  }

  get firstRoot(): { version: number; sha256: string } {
    return { version: 1, sha256: sha256(this.file('metadata/1.root.json')) };
  }

  /** @param signers absent: all keys that the root has now; a rotation names those of before as well */
  publishRoot(signers: readonly RoleKey[] = this.roles.root.keys): Uint8Array {
    const role = this.roles.root;
    role.version += 1;
    const bytes = signed(this.rootBody(), signers);
    this.files.set(`metadata/${role.version}.root.json`, bytes);
    return bytes;
  }

  rootBody(): object {
    const keys = ROLES.flatMap((name) => this.roles[name].keys);
    const shown = ({ keys: of, threshold }: Role): object => ({ keyids: of.map(({ id }) => id), threshold });
    return {
      ...common('root', this.roles.root),
      consistent_snapshot: this.consistent,
      keys: shownKeys(keys),
      roles: Object.fromEntries(ROLES.map((name) => [name, shown(this.roles[name])])),
    };
  }

  /** New keys of a role, and a root that says so. */
  rotate(name: RoleName): void {
    const before = this.roles.root.keys;
    this.roles[name].keys = this.roles[name].keys.map(() => makeKey());
    this.publishRoot([...new Set([...before, ...this.roles.root.keys])]);
  }

  /** Targets, snapshot and timestamp, each a version newer. */
  publish(): void {
    this.publishTargets();
    this.publishSnapshot();
    this.publishTimestamp();
  }

  publishTargets(signers: readonly RoleKey[] = this.roles.targets.keys): void {
    const role = this.roles.targets;
    role.version += 1;
    const body = { ...common('targets', role), targets: this.targets, ...delegations(this.delegated) };
    this.#put(`${role.version}.targets`, 'targets', signed(body, signers));
    for (const one of everyRole(this.delegated)) this.#putDelegated(one);
  }

  publishSnapshot(signers: readonly RoleKey[] = this.roles.snapshot.keys): void {
    const role = this.roles.snapshot;
    role.version += 1;
    const meta = Object.fromEntries(
      [{ name: 'targets', version: this.roles.targets.version }, ...everyRole(this.delegated)].map(
        ({ name, version }) => [`${name}.json`, this.metaOf(name, version)],
      ),
    );
    this.#put(`${role.version}.snapshot`, 'snapshot', signed({ ...common('snapshot', role), meta }, signers));
  }

  publishTimestamp(signers: readonly RoleKey[] = this.roles.timestamp.keys): void {
    const role = this.roles.timestamp;
    role.version += 1;
    const meta = { 'snapshot.json': this.metaOf('snapshot', this.roles.snapshot.version) };
    this.files.set('metadata/timestamp.json', signed({ ...common('timestamp', role), meta }, signers));
  }

  metaOf(name: string, version: number): object {
    const bytes = this.files.get(`metadata/${version}.${encodeURIComponent(name)}.json`);
    const hashes = this.hashes && bytes ? { length: bytes.length, hashes: { sha256: sha256(bytes) } } : {};
    return { version, ...hashes };
  }

  /** A release as a target of the top-level role, and its file. */
  addRelease(name: string, counter: number, change: Partial<Manifest> = {}): { sha256: string; bytes: Uint8Array } {
    const bytes = manifestBytes({ name, counter, ...change });
    const path = targetPathOf({ name, counter });
    this.targets[path] = targetOf(bytes);
    this.putTarget(path, bytes);
    return { sha256: sha256(bytes), bytes };
  }

  putTarget(path: string, bytes: Uint8Array): void {
    const hashed = path.replace(/[^/]*$/, (file) => `${sha256(bytes)}.${file}`);
    this.files.set(`targets/${this.consistent ? hashed : path}`, bytes);
  }

  #putDelegated(role: Delegated): void {
    const body = {
      ...common('targets', { ...this.roles.targets, version: role.version }),
      targets: role.targets,
      ...delegations(role.roles),
    };
    const name = encodeURIComponent(role.name);
    this.#put(`${role.version}.${name}`, name, signed(body, role.keys));
  }

  #put(versioned: string, plain: string, bytes: Uint8Array): void {
    this.files.set(`metadata/${versioned}.json`, bytes);
    if (!this.consistent) this.files.set(`metadata/${plain}.json`, bytes);
  }
}

/** Metadata as a file: signed over the canonical form, written for people. */
export function signed(body: object, signers: readonly RoleKey[]): Uint8Array {
  const bytes = utf8(canonicalJson(body));
  const signatures = signers.map((key) => ({ keyid: key.id, sig: key.sign(bytes) }));
  return utf8(JSON.stringify({ signatures, signed: body }, null, 1));
}

export const targetOf = (bytes: Uint8Array): object => ({ length: bytes.length, hashes: { sha256: sha256(bytes) } });

export const delegate = (name: string, change: Partial<Delegated> = {}): Delegated => ({
  name,
  keys: [makeKey()],
  threshold: 1,
  version: 1,
  ...(change.path_hash_prefixes === undefined && { paths: ['*/*'] }),
  terminating: false,
  targets: {},
  roles: [],
  ...change,
});

export function manifestBytes(change: Partial<Manifest> = {}): Uint8Array {
  const hashed = { sha256: sha256(utf8('')), bytes: 0 };
  const manifest: Manifest = {
    v: 1,
    name: 'charger',
    version: '1.0.0',
    counter: 1,
    models: ['cp-1'],
    index: hashed,
    sbom: hashed,
    files: 0,
    bytes: 0,
    health: { withinSeconds: 60, settleSeconds: 10, sensors: true },
    ...change,
  };
  return utf8(JSON.stringify(manifest));
}

const common = (type: RoleName, { version, expires }: Pick<Role, 'version' | 'expires'>): object => ({
  _type: type,
  spec_version: '1.0.31',
  version,
  expires,
});

const shownKeys = (keys: readonly RoleKey[]): object => Object.fromEntries(keys.map(({ id, shown }) => [id, shown]));

function delegations(roles: readonly Delegated[]): object {
  if (roles.length === 0) return {};
  const shown = roles.map(({ keys, version: _, targets: __, roles: ___, ...role }) => ({
    ...role,
    keyids: keys.map(({ id }) => id),
  }));
  return { delegations: { keys: shownKeys(roles.flatMap(({ keys }) => keys)), roles: shown } };
}

const everyRole = (roles: readonly Delegated[], seen = new Set<string>()): Delegated[] =>
  roles.flatMap((role) => {
    if (seen.has(role.name)) return [];
    seen.add(role.name);
    return [role, ...everyRole(role.roles, seen)];
  });
