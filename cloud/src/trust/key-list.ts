import type { JWK } from 'jose';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import type { KeyList } from '@paddock/shared/enrolment.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import { toInstant, type WallMs } from '@paddock/shared/time.ts';

/** Whom devices should believe, as this service sees it. */
export interface Believed {
  /** Whose seal the next list carries. */
  readonly root: JWK;
  /** Keys that this service signs with. */
  readonly keys: readonly JWK[];
  /** Certificates of authorities that cannot be done without, DER in base64url. */
  readonly authorities: readonly string[];
  /** Those that are to come, or go: named until somebody withdraws them. */
  readonly beside?: readonly string[];
  readonly epoch: number;
  /** Where devices that have no root of firmware begin; absent: as the newest list says. */
  readonly firmwareRoot?: KeyList['firmwareRoot'];
}

/** What an operator wants of the next list. */
export interface Wanted {
  /** Keys that it leaves out. */
  readonly keyIds?: readonly string[];
  /** Authorities that it leaves out, DER in base64url. */
  readonly authorities?: readonly string[];
  /** A list is wanted even when it says nothing new. */
  readonly again?: boolean;
}

const MAX_KEYS = 16;
const MAX_AUTHORITIES = 8;

/**
 * The list that should follow the newest one, or null when that says all of it. Keys and authorities stay until somebody
 * withdraws them: another instance may sign with them, and a device that slept may still be answered by them.
 */
export async function nextKeyList(
  newest: KeyList | null,
  believed: Believed,
  now: WallMs,
  wanted: Wanted = {},
): Promise<KeyList | null> {
  const before = newest?.keys ?? [];
  const known = await named([...believed.keys, ...before]);
  const kept = known.filter(({ keyId }) => !wanted.keyIds?.includes(keyId));
  const [root] = await named([believed.root]);
  const next = {
    v: PAYLOAD_VERSION,
    version: (newest?.version ?? 0) + 1,
    issuedAt: toInstant(now),
    root: root?.jwk ?? believed.root,
    keys: kept.map(({ jwk }) => jwk).slice(0, MAX_KEYS),
    authorities: authoritiesOf(newest, believed, wanted),
    epoch: Math.max(believed.epoch, newest?.epoch ?? 0),
    ...firmwareRootOf(newest, believed),
  } as KeyList;
  return newest !== null && wanted.again !== true && contentOf(newest) === contentOf(next) ? null : next;
}

function firmwareRootOf(newest: KeyList | null, believed: Believed): Pick<KeyList, 'firmwareRoot'> {
  const firmwareRoot = believed.firmwareRoot ?? newest?.firmwareRoot;
  return firmwareRoot ? { firmwareRoot } : {};
}

function authoritiesOf(newest: KeyList | null, { authorities, beside = [] }: Believed, wanted: Wanted): string[] {
  const all = new Set([...authorities, ...beside, ...(newest?.authorities ?? [])]);
  return [...all].filter((der) => !wanted.authorities?.includes(der)).slice(0, MAX_AUTHORITIES);
}

/** Public parts only, each once. */
async function named(keys: readonly JWK[]) {
  const imported = await Promise.all(keys.map((jwk) => importVerificationKey(jwk)));
  return [...new Map(imported.map((key) => [key.thumbprint, key])).values()];
}

/** In an order of its own: which key stands first is no news. */
const contentOf = ({ root, keys, authorities, epoch, firmwareRoot }: KeyList): string =>
  JSON.stringify([
    [root.x, root.y],
    keys.map(({ x, y }) => `${x} ${y}`).toSorted(),
    authorities.toSorted(),
    epoch,
    [firmwareRoot?.version, firmwareRoot?.sha256],
  ]);
