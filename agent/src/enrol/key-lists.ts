import { parseKeyList, type KeyList } from '@paddock/shared/enrolment.ts';
import { digestOf, parseEnvelope, parsePayload } from '@paddock/shared/envelope.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { openKeyList } from '@paddock/shared/key-list.ts';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import { EnrolError } from './enrol-error.ts';

/** A list of the cloud's keys that was believed. */
export interface Listed {
  /** As it was sealed. */
  readonly text: string;
  readonly version: number;
  /** Grows when the cloud comes back from a backup: versions are compared within it, and answers of before are not taken. */
  readonly epoch: number;
  /** Seals the next version. */
  readonly root: VerificationKey;
  /** Answers are signed with one of these. */
  readonly keys: readonly VerificationKey[];
  /** Servers are issued by one of these. DER. */
  readonly authorities: readonly Uint8Array[];
  /** The root metadata of firmware that a device without any begins with. */
  readonly firmwareRoot: KeyList['firmwareRoot'] | null;
}

/** Whoever answers must not make us walk for ever. */
const MOST_STEPS = 1_000;

/** @param version null for the newest */
export type FetchKeyList = (version: number | null) => Promise<string>;

/** A list that was believed before it was kept. */
export const keptKeyList = (text: string): Promise<Listed> => listedOf(text, unproved(text));

/** @throws EnrolError `key_list_seal` when another root sealed it; Refusal */
async function proved(text: string, root: VerificationKey): Promise<Listed> {
  const list = await openKeyList(text, root).catch((cause: unknown) => {
    if (cause instanceof Refusal && cause.code === 'key_unknown')
      throw new EnrolError('key_list_seal', `not by ${root.keyId}`, { cause });
    throw cause;
  });
  return listedOf(text, list);
}

/** What a service has to show, and what its newest list says of itself. */
interface Shown {
  readonly newest: string;
  readonly last: Pick<KeyList, 'version' | 'epoch'>;
  readonly get: (version: number) => Promise<string>;
}

/**
 * Walks to the newest list, one version after the other: each is sealed by the root that the one before names, so that
 * a stolen online key cannot make a list, and a device that slept finds its way over every change of the root.
 * Invariant: (epoch, version) only grows, and only a root that the list before names, or that was pinned, makes it grow.
 * @param known null on the first walk: it begins at the newest list that the pinned root sealed
 * @throws EnrolError `key_list_old`, `key_list_version`, `key_list_epoch`, `key_list_seal`; Refusal
 */
export async function walkKeyLists(
  fetch: FetchKeyList,
  pinned: VerificationKey,
  known: Listed | null,
): Promise<Listed> {
  const newest = await fetch(null);
  const last = unproved(newest);
  const get = (version: number): Promise<string> =>
    version === last.version ? Promise.resolve(newest) : fetch(version);
  const shown = { newest, last, get };
  let list = known === null ? await newestSealedBy(pinned, shown) : await onwardFrom(known, shown);
  checkSpan(list.version, last.version);
  while (list.version < last.version) list = await step(list, shown);
  // Two lists of one version: somebody who may seal says one thing to one device and another to the next.
  if (!(await isSame(newest, list.text))) throw new EnrolError('key_list_version', `${last.version} has two contents`);
  return list;
}

function checkSpan(from: number, to: number): void {
  if (to < from) throw new EnrolError('key_list_old', `${to} after ${from}`);
  if (to - from > MOST_STEPS) throw new EnrolError('key_list_version', `${to} after ${from}`);
}

async function step(list: Listed, { get }: Shown): Promise<Listed> {
  const version = list.version + 1;
  const next = await proved(await get(version), list.root);
  if (next.version !== version) throw new EnrolError('key_list_version', `${next.version} instead of ${version}`);
  if (next.epoch < list.epoch) throw new EnrolError('key_list_epoch', `${next.epoch} after ${list.epoch}`);
  return next;
}

/**
 * Where the walk goes on from the list that is known. A cloud that came back from a backup may lack that one, and give
 * its version, or a smaller one, to another list: then a list of a greater epoch is taken, whatever its version, as long
 * as the root that would have sealed the next one sealed it. A root that was replaced meanwhile brings nobody back.
 */
async function onwardFrom(known: Listed, shown: Shown): Promise<Listed> {
  const { last, get } = shown;
  if (last.epoch < known.epoch) throw new EnrolError('key_list_old', `epoch ${last.epoch} after ${known.epoch}`);
  if (last.epoch === known.epoch) return known;
  if (last.version >= known.version && (await isSame(await get(known.version), known.text))) return known;
  return newestSealedBy(known.root, shown, known.epoch + 1);
}

/** Beginning with the newest: from the last list of a root on the steps go on to those of the next one. */
async function newestSealedBy(root: VerificationKey, { last, get }: Shown, leastEpoch = 0): Promise<Listed> {
  for (let { version } = last; version >= Math.max(1, last.version - MOST_STEPS); version -= 1) {
    const text = await get(version);
    if (unproved(text).epoch < leastEpoch) break;
    if (envelopeOf(text).keyId === root.keyId) return proved(text, root);
  }
  throw new EnrolError('key_list_seal', `no list is sealed by ${root.keyId}`);
}

const isSame = async (one: string, other: string): Promise<boolean> =>
  (await digestOf(envelopeOf(one))) === (await digestOf(envelopeOf(other)));

function envelopeOf(text: string): ReturnType<typeof parseEnvelope> {
  const envelope = parseEnvelope(text);
  if (envelope.kind !== 'keys') throw new Refusal('typ_mismatch', envelope.kind);
  return envelope;
}

/** What a list says of itself, which is worth nothing until its seal was verified. */
const unproved = (text: string): KeyList =>
  parseKeyList(parsePayload(Buffer.from(envelopeOf(text).payload, 'base64url')));

async function listedOf(text: string, list: KeyList): Promise<Listed> {
  const { version, epoch, root, keys, authorities, firmwareRoot = null } = list;
  return {
    text,
    version,
    epoch,
    root: await importVerificationKey(root),
    keys: await Promise.all(keys.map((key) => importVerificationKey(key))),
    authorities: authorities.map((der) => Buffer.from(der, 'base64url')),
    firmwareRoot,
  };
}
