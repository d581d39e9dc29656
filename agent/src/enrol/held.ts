import { sha256Base64url } from '@paddock/shared/base64url.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import { finishKeyChange } from './key-change.ts';
import { keptKeyList, type Listed } from './key-lists.ts';
import type { EnrolmentParts } from './parts.ts';
import { readRecord, writeRecord, type EnrolmentRecord } from './record.ts';

/** What the device has of its enrolment, as it is on the disk, and what this boot knows of it. */
export interface Held {
  record: EnrolmentRecord | null;
  list: Listed | null;
  /** When this boot received the certificate. */
  receivedAt: UptimeMs | null;
  /** Spreads renewals over the fleet. */
  random: number;
}

/** @throws what the disk throws; a file that is damaged, or walked from another root, is as good as none */
export async function openHeld(parts: EnrolmentParts): Promise<Held> {
  const { disk, pin, log } = parts;
  const none = { record: null, list: null, receivedAt: null, random: parts.random() };
  const record = await readRecord(disk);
  if (record === null) return none;
  if (record.pinned !== pin.root.thumbprint) {
    log.warn({ code: 'enrolment_other_root' }, 'Another fleet root is pinned than before: the device enrols anew');
    return none;
  }
  const list = record.keyList === '' ? null : await keptKeyList(record.keyList);
  return { ...none, list, record: await ofThisKey(record, parts) };
}

/** What another key was let in with, or retired with, says nothing of this one. The list of keys is whose it ever is. */
async function ofThisKey(record: EnrolmentRecord, parts: EnrolmentParts): Promise<EnrolmentRecord> {
  const { keys, log } = parts;
  // The power was cut between the record and the key that it names.
  if (keys.next()?.public.thumbprint === record.identity) await finishKeyChange(parts);
  const identity = keys.current().public.thumbprint;
  if (record.identity === identity) return record;
  log.warn({ code: 'enrolment_other_key' }, 'The identity key is another one than before: the device enrols anew');
  return { ...record, identity, refusedClaim: null, member: null, retired: false };
}

/** Changes the record, on the disk first. */
export async function keepHeld(
  held: Held,
  { disk, pin, keys }: EnrolmentParts,
  change: Partial<EnrolmentRecord>,
): Promise<void> {
  const identity = keys.current().public.thumbprint;
  const empty = {
    pinned: pin.root.thumbprint,
    keyList: '',
    identity,
    refusedClaim: null,
    member: null,
    retired: false,
  };
  const record = { ...empty, ...held.record, ...change };
  await writeRecord(disk, record);
  held.record = record;
}

/** By what it is known which claim was refused: a new one is shown. */
export const claimDigest = (claim: string): Promise<string> => sha256Base64url(claim);
