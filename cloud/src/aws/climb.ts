import type { AwsIot, Clock, Store } from '../ports.ts';
import { dueBefore, requestPem, transportCertificate, type TransportCertificate } from './certificate.ts';
import { AwsTransportError, codeOf } from './errors.ts';
import { findUnrecorded } from './find.ts';
import { attributesOf, type Names } from './names.ts';
import { unlessThrottled } from './pauses.ts';
import { nextStep, type Certificate, type Step, type Wanted } from './progress.ts';
import {
  forgetRequest,
  readKnown,
  recordActive,
  recordCreated,
  recordLeaving,
  recordRequest,
  recordStep,
  recordThing,
  type Known,
} from './records.ts';
import { requireIssuable } from './issued.ts';
import type { Hold } from './hold.ts';

export interface ClimbParts {
  readonly store: Store;
  readonly iot: AwsIot;
  readonly clock: Clock;
  readonly names: Names;
}

/** The TLS key that a device asks with, and the identity key that it asks by. */
export interface Asked {
  readonly csr: Uint8Array;
  readonly keyDigest: string;
  readonly identityThumbprint: string;
}

/** Less than a device waits for its answer. */
const LONGEST_MS = 25_000;

/**
 * Goes step by step to an active certificate for the key; each step is recorded before the next one, so that the next
 * try goes on from there.
 * @throws AwsIotError, AwsTransportError; TrustError `csr_key_revoked`, `certificates_too_many`
 */
export async function climb(parts: ClimbParts, hold: Hold, asked: Asked): Promise<TransportCertificate> {
  const endBy = parts.clock.monotonic() + LONGEST_MS;
  let isNew = false;
  for (;;) {
    const known = await readKnown(parts.store, hold.deviceId);
    if (known?.standing !== 'good') throw new AwsTransportError('device_retired', hold.deviceId);
    const wanted = { keyDigest: asked.keyDigest, attributes: attributesOf(known), askedSince: dueBefore(known.now) };
    const step = nextStep(known.thing, known.certificates, wanted);
    if (step.do === 'done' && (isNew || (await isPutRight(parts, hold.deviceId, step.certificate, wanted))))
      return transportCertificate(step.certificate.pem ?? '', step.certificate.askedAt);
    if (parts.clock.monotonic() >= endBy) throw new AwsTransportError('aws_slow', hold.deviceId);
    await hold.write(async () => undefined);
    await take(parts, hold, { step, known, wanted, asked });
    isNew ||= step.do === 'activate';
  }
}

interface Turn {
  readonly step: Step;
  readonly known: Known;
  readonly wanted: Wanted;
  readonly asked: Asked;
}

async function take(parts: ClimbParts, hold: Hold, turn: Turn): Promise<void> {
  const { iot, names } = parts;
  const { step, known, wanted, asked } = turn;
  const { deviceId } = hold;
  switch (step.do) {
    case 'makeThing':
      await makeThing(iot, deviceId, wanted.attributes);
      await hold.write((sql) =>
        recordThing(sql, deviceId, known.thing.step === 'grouped' ? 'grouped' : 'made', wanted.attributes),
      );
      return;
    case 'joinGroup':
      await iot.addToGroup(deviceId, names.group);
      await hold.write((sql) => recordThing(sql, deviceId, 'grouped'));
      return;
    case 'request':
      return request(parts, hold, asked);
    case 'find':
      return find(parts, hold, step.certificate);
    case 'abandon':
      return abandon(hold, step.certificate);
    case 'done':
      // Removed or deactivated there by somebody else: another one is made.
      return abandon(hold, step.certificate);
    default:
      return further(parts, hold, step);
  }
}

async function makeThing(iot: AwsIot, deviceId: string, attributes: Wanted['attributes']): Promise<void> {
  try {
    await iot.createThing(deviceId, attributes);
  } catch (error) {
    if (codeOf(error) !== 'aws_exists') throw error;
    await iot.updateThing(deviceId, attributes);
  }
}

/** Refused with one of these, nothing was made. */
const CERTAINLY_NOT_MADE: ReadonlySet<unknown> = new Set(['aws_throttled', 'aws_refused', 'aws_denied', 'aws_limit']);

async function request({ iot, clock }: ClimbParts, hold: Hold, asked: Asked): Promise<void> {
  const requestId = await hold.write(async (sql) => {
    await requireIssuable(sql, { ...asked, deviceId: hold.deviceId });
    return recordRequest(sql, hold.deviceId, asked);
  });
  try {
    const made = await unlessThrottled(clock, () => iot.createCertificate(requestPem(asked.csr)));
    await hold.write((sql) => recordCreated(sql, requestId, made));
  } catch (error) {
    if (CERTAINLY_NOT_MADE.has(codeOf(error))) await hold.write((sql) => forgetRequest(sql, requestId));
    throw error;
  }
}

/** An answer was lost: what it would have brought is taken up, or given up. */
async function find({ iot, store }: ClimbParts, hold: Hold, certificate: Certificate): Promise<void> {
  const [first, ...others] = await findUnrecorded({ iot, sql: store }, certificate);
  await hold.write(async (sql) => {
    if (first === undefined) await recordStep(sql, certificate.requestId, 'lost');
    else await recordCreated(sql, certificate.requestId, first);
    await recordLeaving(sql, hold.deviceId, others);
  });
}

/** What may or may not be there is looked for later; what is there leaves. */
export async function abandon(hold: Hold, { requestId, id }: Certificate): Promise<void> {
  await hold.write((sql) => recordStep(sql, requestId, id === null ? 'lost' : 'leaving'));
}

async function further(
  { iot, names }: ClimbParts,
  hold: Hold,
  step: Extract<Step, { do: 'permit' | 'attach' | 'activate' }>,
): Promise<void> {
  const { requestId, id, arn } = step.certificate;
  if (id === null || arn === null) throw new Error('A certificate that was made has no name');
  try {
    if (step.do === 'permit') await iot.attachPolicy(names.policy, arn);
    if (step.do === 'attach') await iot.attachThing(hold.deviceId, arn);
    if (step.do === 'activate') await iot.setActive(id, true);
  } catch (error) {
    if (codeOf(error) === 'aws_missing') await startAnew(hold, step.certificate);
    throw error;
  }
  await hold.write((sql) => {
    if (step.do === 'activate') return recordActive(sql, hold.deviceId, requestId);
    return recordStep(sql, requestId, step.do === 'permit' ? 'permitted' : 'attached');
  });
}

/** Somebody removed the thing or the certificate by hand: the next try makes both. */
async function startAnew(hold: Hold, certificate: Certificate): Promise<void> {
  await abandon(hold, certificate);
  await hold.write((sql) => recordThing(sql, hold.deviceId, 'wanted'));
}

/**
 * What somebody removed by hand of what a device needs besides its certificate is there again: what is there already is
 * not changed by being made once more.
 * @returns false when the certificate itself is gone or inactive
 */
async function isPutRight(
  { iot, names }: ClimbParts,
  deviceId: string,
  certificate: Certificate,
  { attributes }: Wanted,
): Promise<boolean> {
  if (!(await isStillThere(iot, certificate))) return false;
  const arn = certificate.arn ?? '';
  await makeThing(iot, deviceId, attributes);
  await iot.addToGroup(deviceId, names.group);
  await iot.attachPolicy(names.policy, arn);
  await iot.attachThing(deviceId, arn);
  return true;
}

async function isStillThere(iot: AwsIot, { id }: Certificate): Promise<boolean> {
  try {
    return (await iot.describeCertificate(id ?? '')).isActive;
  } catch (error) {
    if (codeOf(error) === 'aws_missing') return false;
    throw error;
  }
}
