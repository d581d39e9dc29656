import type { VerificationKey } from '@paddock/shared/keys.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import { isKnown } from '../clock/trusted-time.ts';
import type { ServerTrust } from '../ports.ts';
import { attemptEnrolment, type Decision } from './attempt.ts';
import { keptKeyList, walkKeyLists, type Listed } from './key-lists.ts';
import type { EnrolmentParts } from './parts.ts';
import { readRecord, writeRecord, type EnrolmentRecord, type Member } from './record.ts';
import { isRenewalDue, type LinkTrouble } from './renewal.ts';
import { codeOf } from '../report/log.ts';
import { checkOwnCertificate } from './request.ts';
import { serviceOn, type EnrolmentService } from './service.ts';

/** What a device that was let in connects with. */
export interface Standing {
  readonly device: string;
  /** Null: the configuration names the broker. */
  readonly mqttUrl: string | null;
  /** PEM, the device's own first. */
  readonly certificates: string;
  readonly keys: readonly VerificationKey[];
  readonly authorities: readonly Uint8Array[];
  /** Of the list of keys: the cloud was there before in smaller ones. */
  readonly epoch: number;
}

/** What the device has of its enrolment, always as it is on the disk, and what it can ask for. */
export interface Membership {
  /** Null until the device is let in, and when it is retired. */
  standing(): Standing | null;
  isRetired(): boolean;
  isRenewalDue(trouble: LinkTrouble): boolean;
  /** Asks once. What is accepted is durable when this resolves; until then the old one holds. */
  ask(): Promise<Decision>;
  /** Only walks to the newest list of keys. */
  refreshKeys(): Promise<void>;
}

interface Held {
  record: EnrolmentRecord | null;
  list: Listed | null;
  /** When this boot received the certificate. */
  receivedAt: UptimeMs | null;
  /** Spreads renewals over the fleet. */
  random: number;
}

/** @throws what the disk throws; a file that is damaged, or walked from another root, is as good as none */
export async function openMembership(parts: EnrolmentParts): Promise<Membership> {
  const { clock, log, pin } = parts;
  const held: Held = { ...(await heldOn(parts)), receivedAt: null, random: parts.random() };
  const keep = async (change: Partial<EnrolmentRecord>): Promise<void> => {
    const empty = { pinned: pin.root.thumbprint, keyList: '', member: null, retired: false };
    const record = { ...empty, ...held.record, ...change };
    await writeRecord(parts.disk, record);
    held.record = record;
  };
  const listed = async (list: Listed): Promise<void> => {
    await keep({ keyList: list.text });
    held.list = list;
    log.info({ version: list.version, keys: list.keys.map(({ keyId }) => keyId) }, 'A list of keys is believed');
  };
  const asked = async (service: EnrolmentService): Promise<Decision> => {
    const applicant = { ...parts.applicant, device: held.record?.member?.device ?? parts.device };
    const { inflater, time } = parts;
    const exchanged = time.enrolled;
    return attemptEnrolment({ clock, inflater, service, applicant, pin, known: held.list, listed, exchanged });
  };
  return {
    standing: () => standingOf(held, parts),
    isRetired: () => held.record?.retired === true,
    isRenewalDue: (trouble) => isDue(held, parts, trouble),
    async ask() {
      const decision = await onService(held, parts, listed, asked);
      if (decision.status === 'accepted') {
        await keep({ member: decision.member });
        held.receivedAt = clock.monotonic();
        held.random = parts.random();
      }
      if (decision.status === 'retired') await keep({ retired: true });
      return decision;
    },
    refreshKeys: () =>
      onService(held, parts, listed, async (service) => {
        const list = await walked(service, parts, held);
        if (list.text !== held.list?.text) await listed(list);
      }),
  };
}

async function heldOn({ disk, pin, log }: EnrolmentParts): Promise<Pick<Held, 'record' | 'list'>> {
  const none = { record: null, list: null };
  const record = await readRecord(disk);
  if (record === null) return none;
  if (record.pinned !== pin.root.thumbprint) {
    log.warn({ code: 'enrolment_other_root' }, 'Another fleet root is pinned than before: the device enrols anew');
    return none;
  }
  return { record, list: record.keyList === '' ? null : await keptKeyList(record.keyList) };
}

type Work<T> = (service: EnrolmentService) => Promise<T>;

/**
 * Works with the service, once it has proved who it is. The cloud may have changed its authority while the device slept,
 * or lay on a shelf with its claim: then the lists of keys say so, which the fleet root seals, so that they may be taken
 * from whoever has them. With a newer one the service is judged again.
 */
async function onService<T>(
  held: Held,
  parts: EnrolmentParts,
  listed: (list: Listed) => Promise<void>,
  work: Work<T>,
): Promise<T> {
  try {
    return await served(parts, trustOf(held, parts), work);
  } catch (error) {
    if (codeOf(error) !== 'certificate_untrusted') throw error;
    const list = await served(parts, null, (service) => walked(service, parts, held)).catch(() => null);
    if (list === null || list.text === held.list?.text) throw error;
    await listed(list);
    return served(parts, trustOf(held, parts), work);
  }
}

const walked = (service: EnrolmentService, { pin }: EnrolmentParts, { list }: Held): Promise<Listed> =>
  walkKeyLists((version) => service.keyList(version), pin.root, list);

function trustOf({ list }: Held, { pin, time, clock }: EnrolmentParts): ServerTrust {
  const now = time.at({ at: clock.monotonic(), segment: clock.segment() });
  return {
    // A list of keys names the authorities; before the first one it is the pin.
    authorities: list?.authorities ?? [],
    fingerprint: list === null ? pin.ca : null,
    // Enrolment is what gives the time to a device that has none.
    time: isKnown(now) ? now : null,
  };
}

async function served<T>({ openWeb }: EnrolmentParts, trust: ServerTrust | null, work: Work<T>): Promise<T> {
  const web = openWeb(trust);
  try {
    return await work(serviceOn(web));
  } finally {
    web.close();
  }
}

function standingOf({ record, list }: Held, { applicant }: EnrolmentParts): Standing | null {
  if (record === null || list === null || record.retired || record.member === null) return null;
  const { device, mqttUrl, certificate } = record.member;
  if (!fits(record.member, applicant.tlsKey)) return null;
  const certificates = certificate.chain.map(pemOf).join('');
  const { keys, authorities, epoch } = list;
  return { device, mqttUrl, certificates, keys, authorities, epoch };
}

/** The key may have been lost since. */
function fits({ device, certificate }: Member, tlsKey: EnrolmentParts['applicant']['tlsKey']): boolean {
  try {
    checkOwnCertificate(certificate.chain[0] ?? '', device, tlsKey);
    return true;
  } catch {
    return false;
  }
}

function isDue({ record, receivedAt, random }: Held, { clock, time }: EnrolmentParts, trouble: LinkTrouble): boolean {
  if (record === null || record.member === null) return false;
  const now = clock.monotonic();
  const trusted = time.at({ at: now, segment: clock.segment() });
  return isRenewalDue(record.member, { trusted, now, receivedAt, trouble, random });
}

/** A certificate as TLS libraries take it (RFC 7468). @param der in base64url */
export function pemOf(der: string): string {
  const lines =
    Buffer.from(der, 'base64url')
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
