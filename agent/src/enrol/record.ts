import { sha256Base64url } from '@paddock/shared/base64url.ts';
import { Enrolled, IssuedCertificate } from '@paddock/shared/enrolment.ts';
import { DeviceId } from '@paddock/shared/message.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Check } from 'typebox/value';
import type { Disk } from '../ports.ts';

/** What enrolment came to, in one file, so that certificate, list and id are always of one moment. */
export const ENROLMENT_FILE = 'enrolment.json';

const Shape = Type.Object({
  /** Thumbprint of the root that everything here was walked from. */
  pinned: Type.String(),
  /** The newest list of keys, as it was sealed: its version is the floor of all that follow, whose key it ever is. */
  keyList: Type.String(),
  /** Thumbprint of the identity key that the rest is about. */
  identity: Type.String(),
  /** SHA-256 of the claim that the cloud refused: it is shown no more. */
  refusedClaim: Type.Union([Type.Null(), Type.String()]),
  /** Null until the cloud has let the device in. */
  member: Type.Union([
    Type.Null(),
    Type.Object({
      device: DeviceId,
      mqttUrl: Type.Union([Type.Null(), Type.String()]),
      certificate: IssuedCertificate,
      /** The private key to it, PKCS#8 PEM: here, because neither is of use without the other. */
      tlsKey: Type.String(),
      /** When the cloud sent it: `renewAfter` minus this is how long to wait. */
      sentAt: Enrolled.properties.sentAt,
    }),
  ]),
  /** For good: nothing is asked any more. */
  retired: Type.Boolean(),
});

/** The durable state of enrolment. */
export type EnrolmentRecord = Static<typeof Shape>;
export type Member = NonNullable<EnrolmentRecord['member']>;

/** Null where there is none, or none that is whole: then the device enrols again, with the same key. */
export async function readRecord(disk: Pick<Disk, 'read'>): Promise<EnrolmentRecord | null> {
  const bytes = await disk.read(ENROLMENT_FILE);
  const [line = '', check = ''] = new TextDecoder().decode(bytes ?? new Uint8Array()).split('\n');
  if (line === '' || check !== (await checkOf(line))) return null;
  const value: unknown = JSON.parse(line);
  return Check(Shape, value) ? value : null;
}

export async function writeRecord(disk: Disk, record: EnrolmentRecord): Promise<void> {
  const line = JSON.stringify(record);
  await disk.replace(ENROLMENT_FILE, new TextEncoder().encode(`${line}\n${await checkOf(line)}\n`));
}

/** Tells damage, not forgery: the file is the device's own. */
const checkOf = async (line: string): Promise<string> =>
  (await sha256Base64url(`paddock-enrolment ${line}`)).slice(0, 22);
