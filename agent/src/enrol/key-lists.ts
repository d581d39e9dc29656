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
  /** Seals the next version. */
  readonly root: VerificationKey;
  /** Answers are signed with one of these. */
  readonly keys: readonly VerificationKey[];
  /** Servers are issued by one of these. DER. */
  readonly authorities: readonly Uint8Array[];
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

/**
 * Walks to the newest list, one version after the other: each is sealed by the root that the one before names, so that
 * a stolen online key cannot make a list, and a device that slept finds its way over every change of the root.
 * @param known null on the first walk: it begins at the newest list that the pinned root sealed
 * @throws EnrolError `key_list_old`, `key_list_version`, `key_list_seal`; Refusal
 */
export async function walkKeyLists(
  fetch: FetchKeyList,
  pinned: VerificationKey,
  known: Listed | null,
): Promise<Listed> {
  const newest = await fetch(null);
  const { version: last } = unproved(newest);
  let list = known ?? (await firstOf(fetch, newest, last, pinned));
  if (last < list.version) throw new EnrolError('key_list_old', `${last} after ${list.version}`);
  if (last - list.version > MOST_STEPS) throw new EnrolError('key_list_version', `${last} after ${list.version}`);
  while (list.version < last) {
    const version = list.version + 1;
    const next = await proved(version === last ? newest : await fetch(version), list.root);
    if (next.version !== version) throw new EnrolError('key_list_version', `${next.version} instead of ${version}`);
    list = next;
  }
  // Two lists of one version: somebody who may seal says one thing to one device and another to the next.
  if ((await digestOf(envelopeOf(newest))) !== (await digestOf(envelopeOf(list.text))))
    throw new EnrolError('key_list_version', `${last} has two contents`);
  return list;
}

async function firstOf(fetch: FetchKeyList, newest: string, last: number, pinned: VerificationKey): Promise<Listed> {
  const isOurs = (text: string): boolean => envelopeOf(text).keyId === pinned.keyId;
  if (isOurs(newest)) return proved(newest, pinned);
  // The root was changed since it was pinned: from the last list of its own on the steps go on.
  for (let version = last - 1; version >= Math.max(1, last - MOST_STEPS); version -= 1) {
    const text = await fetch(version);
    if (isOurs(text)) return proved(text, pinned);
  }
  throw new EnrolError('key_list_seal', `no list is sealed by ${pinned.keyId}`);
}

function envelopeOf(text: string): ReturnType<typeof parseEnvelope> {
  const envelope = parseEnvelope(text);
  if (envelope.kind !== 'keys') throw new Refusal('typ_mismatch', envelope.kind);
  return envelope;
}

/** What a list says of itself, which is worth nothing until its seal was verified. */
const unproved = (text: string): KeyList =>
  parseKeyList(parsePayload(Buffer.from(envelopeOf(text).payload, 'base64url')));

async function listedOf(text: string, { version, root, keys, authorities }: KeyList): Promise<Listed> {
  return {
    text,
    version,
    root: await importVerificationKey(root),
    keys: await Promise.all(keys.map((key) => importVerificationKey(key))),
    authorities: authorities.map((der) => Buffer.from(der, 'base64url')),
  };
}
