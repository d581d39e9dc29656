import type { EnrolmentRequest } from '@paddock/shared/enrolment.ts';
import type { EnrolmentErrorCode } from './errors.ts';
import type { Known, Owner } from './known.ts';

/** What a claim says of a device, once nothing is wrong with it. */
export interface GoodClaim {
  readonly batchId: string;
  readonly jti: string;
  readonly customerId: string;
  readonly serialNumber: string;
  readonly modelId: string | null;
}

/** Everything that the decision is made from. Signatures and the nonce were checked before. */
export interface Asked {
  readonly request: Pick<EnrolmentRequest, 'device' | 'serialNumber'>;
  readonly known: Known;
  /** Whose key endorses the new one; null when the request carries no endorsement. */
  readonly endorser: Owner | null;
  readonly claim: GoodClaim | null;
}

/** Why a human has to look at it. */
export const WAIT_REASONS = {
  stranger: 'Nothing is known of it',
  serial_number_known: 'A device with this serial number is registered with another key',
  serial_number_differs: 'The factory list has this key for another serial number',
} as const satisfies Record<string, string>;
export type WaitReason = keyof typeof WAIT_REASONS;

export type Verdict =
  | { readonly kind: 'refuse'; readonly code: EnrolmentErrorCode; readonly deviceId: string }
  | { readonly kind: 'retired'; readonly deviceId: string }
  | { readonly kind: 'renew'; readonly deviceId: string }
  /** Goes on with the new key; the old ones are revoked. `endorsedBy` is the thumbprint of the key that speaks for it. */
  | { readonly kind: 'rotate'; readonly deviceId: string; readonly endorsedBy: string }
  | { readonly kind: 'register'; readonly device: NewcomerDevice; readonly claim: GoodClaim | null }
  | { readonly kind: 'rejected' }
  | { readonly kind: 'wait'; readonly reason: WaitReason; readonly deviceId: string | null };

export interface NewcomerDevice {
  readonly customerId: string;
  readonly serialNumber: string;
  readonly modelId: string | null;
  readonly siteId: string | null;
  readonly name: string | null;
}

/** The device whose key was proved; null when nothing is known of the key, whatever device it names. */
export const provedDevice = (verdict: Verdict): string | null =>
  verdict.kind === 'register' || verdict.kind === 'rejected' || verdict.kind === 'wait' ? null : verdict.deviceId;

/**
 * Lets in, refuses, or leaves it to a human; the first way that fits decides. A serial number that is known never
 * changes its key by a claim or by the list: whoever stole one of these must not take over a device. A key that a human
 * rejected comes in by a human only, whatever else speaks for it.
 */
export function decide({ request, known, endorser, claim }: Asked): Verdict {
  if (known.owner !== null) return notGood(known.owner, request) ?? { kind: 'renew', deviceId: known.owner.deviceId };
  if (known.isRejected) return { kind: 'rejected' };
  if (endorser !== null) return notGood(endorser, request) ?? rotation(endorser);
  if (claim !== null) return registered({ ...claim, siteId: null, name: null }, claim, known);
  if (known.listed === null) return waiting('stranger', known);
  if (known.listed.serialNumber !== request.serialNumber) return waiting('serial_number_differs', known);
  return registered(known.listed, null, known);
}

function notGood({ deviceId, isRetired, isRevoked }: Owner, { device }: Asked['request']): Verdict | null {
  if (isRetired) return { kind: 'retired', deviceId };
  if (isRevoked) return { kind: 'refuse', code: 'key_revoked', deviceId };
  const isNamedOtherwise = device !== undefined && device !== deviceId;
  return isNamedOtherwise ? { kind: 'refuse', code: 'device_mismatch', deviceId } : null;
}

const rotation = ({ deviceId, thumbprint }: Owner): Verdict => ({ kind: 'rotate', deviceId, endorsedBy: thumbprint });

function registered(
  { customerId, serialNumber, modelId, siteId, name }: NewcomerDevice,
  claim: GoodClaim | null,
  known: Known,
): Verdict {
  if (known.twins.some((twin) => twin.customerId === customerId)) return waiting('stranger', known);
  return { kind: 'register', device: { customerId, serialNumber, modelId, siteId, name }, claim };
}

function waiting(reason: WaitReason, { twins }: Known): Verdict {
  const [only, second] = twins;
  if (only === undefined) return { kind: 'wait', reason, deviceId: null };
  return { kind: 'wait', reason: 'serial_number_known', deviceId: second ? null : only.deviceId };
}
