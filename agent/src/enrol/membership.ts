import type { VerificationKey } from '@paddock/shared/keys.ts';
import { applicantOf, createVouchers } from './applying.ts';
import { attemptEnrolment, type Decision } from './attempt.ts';
import { keepHeld, openHeld, type Held } from './held.ts';
import { finishKeyChange } from './key-change.ts';
import type { Listed } from './key-lists.ts';
import { onService, walked } from './on-service.ts';
import type { EnrolmentParts } from './parts.ts';
import { isRenewalDue, type LinkTrouble } from './renewal.ts';
import type { EnrolmentService } from './service.ts';

/** What a device that was let in connects with. */
export interface Standing {
  readonly device: string;
  /** Null: the configuration names the broker. */
  readonly mqttUrl: string | null;
  /** PEM, the device's own first. */
  readonly certificates: string;
  /** The private key to it, PEM. */
  readonly tlsKey: string;
  readonly keys: readonly VerificationKey[];
  readonly authorities: readonly Uint8Array[];
  /** Of the list of keys: the cloud was there before in smaller ones. */
  readonly epoch: number;
  readonly firmwareRoot: Listed['firmwareRoot'];
}

/** What the device has of its enrolment, always as it is on the disk, and what it can ask for. */
export interface Membership {
  /** Null until the device is let in, and when it is retired. */
  standing(): Standing | null;
  isRetired(): boolean;
  isRenewalDue(trouble: LinkTrouble): boolean;
  /** Whether there is a newer list of keys than the device has, as the cloud names its newest and its epoch. */
  isListBehind(version: number, epoch: number): boolean;
  /** Asks once. What is accepted is durable when this resolves; until then the old one holds. */
  ask(): Promise<Decision>;
  /** Only walks to the newest list of keys. */
  refreshKeys(): Promise<void>;
}

/** @throws what the disk throws; a file that is damaged, or of another root or key, lets nobody in */
export async function openMembership(parts: EnrolmentParts): Promise<Membership> {
  const held = await openHeld(parts);
  const listed = async (list: Listed): Promise<void> => {
    await keepHeld(held, parts, { keyList: list.text });
    held.list = list;
    const keys = list.keys.map(({ keyId }) => keyId);
    parts.log.info({ version: list.version, keys }, 'A list of keys is believed');
  };
  return {
    standing: () => standingOf(held),
    isRetired: () => held.record?.retired === true,
    isRenewalDue: (trouble) => isDue(held, parts, trouble),
    isListBehind: (version, epoch) =>
      held.list === null || epoch > held.list.epoch || (epoch === held.list.epoch && version > held.list.version),
    async ask() {
      const decision = await askVouched(held, parts, listed);
      if (decision.status === 'accepted') await joined(held, parts, decision);
      if (decision.status === 'retired') await keepHeld(held, parts, { retired: true });
      return decision;
    },
    refreshKeys: () =>
      onService(held, parts, listed, async (service) => {
        const list = await walked(service, parts, held);
        if (list.text !== held.list?.text) await listed(list);
      }),
  };
}

/** Asks with all that vouches for the device, and again without what the cloud refuses of it. */
async function askVouched(
  held: Held,
  parts: EnrolmentParts,
  listed: (list: Listed) => Promise<void>,
): Promise<Decision> {
  const { clock, inflater, pin, time } = parts;
  const vouchers = createVouchers(held, parts);
  const asked = (service: EnrolmentService): Promise<Decision> =>
    attemptEnrolment({
      clock,
      inflater,
      service,
      applicant: (nonce) => applicantOf(held, parts, vouchers, nonce),
      pin,
      known: held.list,
      listed,
      exchanged: time.enrolled,
    });
  for (;;) {
    try {
      return await onService(held, parts, listed, asked);
    } catch (cause) {
      if (!(await vouchers.setAside(cause))) throw cause;
    }
  }
}

async function joined(
  held: Held,
  parts: EnrolmentParts,
  { member, identity }: Extract<Decision, { status: 'accepted' }>,
): Promise<void> {
  await keepHeld(held, parts, { member, identity });
  held.receivedAt = parts.clock.monotonic();
  held.random = parts.random();
  if (parts.keys.next() === null) return;
  await finishKeyChange(parts);
  const { thumbprint } = parts.keys.current().public;
  parts.log.info({ code: 'key_changed', fingerprint: thumbprint }, 'The identity key is changed');
  parts.say('key changed', `The identity key is changed. Its fingerprint: ${thumbprint}`);
}

function standingOf({ record, list }: Held): Standing | null {
  if (record === null || list === null || record.retired || record.member === null) return null;
  const { device, mqttUrl, certificate, tlsKey } = record.member;
  const certificates = certificate.chain.map(pemOf).join('');
  const { keys, authorities, epoch, firmwareRoot } = list;
  return { device, mqttUrl, certificates, tlsKey, keys, authorities, epoch, firmwareRoot };
}

function isDue({ record, receivedAt, random }: Held, parts: EnrolmentParts, trouble: LinkTrouble): boolean {
  const { clock, time, keys } = parts;
  if (record === null || record.member === null) return false;
  // A change of keys that was begun: the cloud may have the next one already, or may not.
  if (keys.next() !== null) return true;
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
